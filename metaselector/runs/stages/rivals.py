"""What was chosen on *valid* for the rivals that adapt without meta-learning."""

from __future__ import annotations

from typing import Any

import pandas as pd

from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.meta.adapt.adaptation import LONG
from metaselector.meta.finetune import alpha_of
from metaselector.meta.finetune_settings import LADDERS, Choice
from metaselector.runs.run import Run

COLUMNS = ("seed", "model", "setting", "choice", "at_end")


def rivals(run: Run, split: EvaluationSplit) -> pd.DataFrame:
    """The settings that were chosen for a split, as ``rivals.csv`` holds them.

    Columns are :data:`COLUMNS`. ``choice`` is a number, or for ``start`` the name of the mixture.
    ``at_end`` says that it is the first or the last one that could be chosen, without being a
    bound such as a rate of 0.
    """
    rows: list[tuple[Any, ...]] = []
    for seed in run.config.seeds:
        if "user-finetuned-plain" in run.variants:
            rows += _plain(run, seed)
        if "user-finetuned" in run.variants:
            rows += _fair(run, seed, split)
    return pd.DataFrame(rows, columns=list(COLUMNS))


def _plain(run: Run, seed: int) -> list[tuple[Any, ...]]:
    learned, rates = (
        run.checkpoints.load_learned("user-finetuned-plain", seed),
        (run.config.adapt.finetune_rates),
    )
    if not learned.alpha:  # base models that are scores have nothing to tune
        return []
    rate = next(iter(learned.alpha.values()))[0].item()
    place = min(range(len(rates)), key=lambda i: abs(rates[i] - rate))
    at_end = len(rates) > 1 and place in (0, len(rates) - 1)
    return [(seed, "user-finetuned-plain", "rate", rates[place], at_end)]


def _fair(run: Run, seed: int, split: EvaluationSplit) -> list[tuple[Any, ...]]:
    learned = run.checkpoints.load_learned("user-finetuned", seed)
    mixture = run.checkpoints.load_mixture("train", seed)
    start = "sample-selector" if learned.phi else "uniform"
    choice = Choice.of_alpha(alpha_of(learned.alpha, split), mixture)
    rows: list[tuple[Any, ...]] = [(seed, "user-finetuned", "start", start, False)]
    for setting, value in choice._asdict().items():
        ladder = getattr(LADDERS, setting)
        place = min(range(len(ladder)), key=lambda i: abs(ladder[i] - value))
        bound = place == 0 and (ladder[0] == 0 or setting == "steps")
        bound |= ladder[place] == LONG  # no half-life at all
        at_end = place in (0, len(ladder) - 1) and not bound
        chosen = "none" if ladder[place] == LONG else ladder[place]
        rows.append((seed, "user-finetuned", setting, chosen, at_end))
    return rows
