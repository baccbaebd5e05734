"""Fine-tuning for each user without meta-learning: the rivals of MetaSelector.

The base models take steps of gradient descent on the user's support. What a rival needs is chosen
on *valid*. The plain one tunes a single learning rate. The fair one tunes every setting of the
inner loop: where it starts, how many steps it takes, separate learning rates for embedding tables,
the base models' other parameters and the selector, how fast rows lose weight, and the shrinkage for
few rows.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metaselector.common.progress import Progress
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import EvaluationProtocol, EvaluationSplit
from metaselector.meta.adapt.contract import Engine
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapted import valid_loss, valid_predictions
from metaselector.meta.finetune_log import SearchLog
from metaselector.meta.finetune_settings import Choice, Search
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.race import Race
from metaselector.meta.variants import finetuning, make_adaptation
from metaselector.models.mixture import Mixture
from metaselector.training.loop.snapshot_manager import SnapshotManager

PASSES = 2
"""Most passes over all settings of a :class:`Choice`, from either start."""
FEW_USERS = 1000
"""Users on whom a search begins, where there are twice as many or more."""


def choose_finetuning(
    protocol: EvaluationProtocol,
    mixture: Mixture,
    selector: MetaParameters,
    *,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None = None,
) -> MetaParameters:
    """Choose everything that the fair rival needs on *valid*.

    It starts from the plain average or from the trained selector, whichever ends better. The other
    settings are chosen for each evaluation split: first for the trained selector, in at most
    :data:`PASSES` passes over all settings, then from there for the plain average, which gets more
    than one pass only if it is ahead after the first. Of many users, all this looks at
    :data:`FEW_USERS` drawn at random, and one pass over all settings on all users follows.

    Args:
        mixture: base models trained on *train*, under an untrained selector.
        selector: the trained sample-level selector.
        snapshots: saves the losses of candidates, from which an interrupted search resumes; None
            saves nothing.

    Returns:
        ``phi`` is empty for the plain average. ``alpha`` is that of each split, see
        :func:`alpha_of`. ``history`` holds the losses of the candidates in the order of the search,
        without those that were :class:`given up <metaselector.meta.race.Race>` early or measured on
        few of many users, and ``best_epoch`` the position of the best one of the last split.
    """
    history: list[dict[str, Any]] = []
    splits = protocol.evaluation_splits
    most = protocol.config.adapt.finetune_users
    every = [min(most, len(split.valid.users)) for split in splits]
    few = [FEW_USERS if users >= 2 * FEW_USERS else users for users in every]
    many = [place for place, users in enumerate(few) if users < every[place]]
    with progress.task(description, 2 * len(splits) + len(many)) as advance:
        engine = make_engine(protocol.config.adapt.engine).searching()
        log = SearchLog(snapshots, progress)

        def begin(place: int, users: int, phi: dict[str, Tensor], start: Choice) -> Search:
            told = history if users == every[place] else []
            split = splits[place]
            losses = _Losses(protocol, split, users, mixture, phi, told, engine, log)
            return Search(losses, start)

        def go(searches: Sequence[Search], passes: int) -> float:
            total = 0.0
            for search in searches:
                total += search.go(passes)
                engine.forget()
                advance()
            return total

        phi = selector.phi
        best = [begin(place, users, phi, Choice()) for place, users in enumerate(few)]
        lowest = go(best, PASSES)
        others = [begin(place, few[place], {}, search.best) for place, search in enumerate(best)]
        if go(others, 1) < lowest:
            phi, best = {}, others
            for search in others:
                search.go(PASSES - 1)
                engine.forget()
        for place in many:
            best[place] = begin(place, every[place], phi, best[place].best)
            go([best[place]], 1)
    alpha: dict[str, Tensor] = {}
    for split, search in zip(splits, best, strict=True):
        prefix = f"{split.folder}:" if len(splits) > 1 else ""
        alpha |= {prefix + name: rate for name, rate in search.best.alpha(mixture).items()}
    chosen = MetaParameters(phi=phi, theta_delta={}, alpha=alpha)
    chosen.history = history
    chosen.best_epoch = min(range(len(history)), key=lambda i: history[i]["valid_loss"])
    chosen.seconds = log.seconds
    return chosen


def alpha_of(alpha: Mapping[str, Tensor], split: EvaluationSplit) -> dict[str, Tensor]:
    """What was chosen for one evaluation split; what was learned holds for all of them."""
    prefix = f"{split.folder}:"
    own = {n.removeprefix(prefix): rate for n, rate in alpha.items() if n.startswith(prefix)}
    return own or dict(alpha)


def largest_support(splits: Sequence[EvaluationSplit]) -> EvaluationSplit:
    """The split whose users show most rows; the first one of those."""
    return max(splits, key=lambda split: split.test.support.shape[1])


def with_numbers(
    alpha: Mapping[str, Tensor], numbers: Mapping[str, Tensor], splits: Sequence[EvaluationSplit]
) -> dict[str, Tensor]:
    """What was chosen for the evaluation splits, each with the same learned `numbers`.

    Args:
        alpha: as :func:`choose_finetuning` returns it.
    """
    prefixes = [f"{split.folder}:" for split in splits]
    of_splits = [prefix for prefix in prefixes if any(name.startswith(prefix) for name in alpha)]
    return dict(alpha) | {
        prefix + name: number.clone()  # a file of tensors refuses those that share memory
        for prefix in of_splits or [""]
        for name, number in numbers.items()
    }


class _Losses:
    """The loss of a choice on so many `users` of *valid* of one split; infinity if given up.

    Appends it to `history` if it is finite.
    """

    def __init__(
        self,
        protocol: EvaluationProtocol,
        split: EvaluationSplit,
        users: int,
        mixture: Mixture,
        phi: dict[str, Tensor],
        history: list[dict[str, Any]],
        engine: Engine,
        log: SearchLog,
    ) -> None:
        self._protocol, self._split, self._mixture, self._phi = protocol, split, mixture, phi
        self._history, self._engine, self._log = history, engine, log
        self._race = Race(_some(split.valid, users))
        self._name = f"{split.folder}, {'sample-selector' if phi else 'uniform'}, {users} users"
        self._best: tuple[float, Choice | None] = math.inf, None

    def __call__(self, choice: Choice) -> float:
        loss = self._log.loss(self._name, choice, lambda: self._measure(choice))
        if math.isfinite(loss):
            history = self._history
            history.append({"epoch": len(history), "train_loss": None, "valid_loss": loss})
        if loss < self._best[0]:
            self._best = loss, choice
        return loss

    def _measure(self, choice: Choice) -> float:
        best = self._best[1]
        if best is not None and not self._race.has_run:  # its loss is from the log
            self._run(best)
        return self._run(choice)

    def _run(self, choice: Choice) -> float:
        names = tuple(name for name, _ in self._mixture.named_parameters())
        candidate = MetaParameters(phi=self._phi, theta_delta={}, alpha=choice.alpha(self._mixture))
        return self._race.run(
            lambda block: (
                valid_predictions(
                    candidate,
                    self._mixture,
                    finetuning(names, int(choice.steps)),
                    self._protocol,
                    replace(self._split, valid=block),
                    engine=self._engine,
                ).losses
            )
        )


def _some(episodes: EpisodeRows, most: int) -> EpisodeRows:
    """At most `most` users, the same in every call."""
    users = len(episodes.users)
    if users <= most:
        return episodes
    return episodes.some(np.sort(np.random.default_rng(0).permutation(users)[:most]))


def choose_rate(
    protocol: EvaluationProtocol, mixture: Mixture, *, description: str, progress: Progress
) -> MetaParameters:
    """Choose the rate of the plain rival with the lowest loss on *valid*; the first one in a tie.

    Args:
        mixture: base models trained on *train* under an untrained selector, which weights
            them equally.

    Returns:
        ``alpha`` holds the rate for every parameter of the base models. ``history`` holds the
        losses, where ``epoch`` is the position of the rate in ``config.adapt.finetune_rates``.
    """
    started, config = time.perf_counter(), protocol.config
    adaptation = make_adaptation("user-finetuned-plain", mixture, config)
    candidates: list[MetaParameters] = []
    losses: list[float] = []
    with progress.task(description, len(config.adapt.finetune_rates)) as advance:
        for rate in config.adapt.finetune_rates:
            alpha = {name: torch.tensor([rate]) for name in adaptation.names}
            alpha = {name: a.to(config.device) for name, a in alpha.items()}
            candidates.append(MetaParameters(phi={}, theta_delta={}, alpha=alpha))
            losses.append(valid_loss(candidates[-1], mixture, adaptation, protocol))
            advance()
    best = min(range(len(losses)), key=losses.__getitem__)
    chosen = candidates[best]
    chosen.history = [
        {"epoch": i, "train_loss": None, "valid_loss": loss} for i, loss in enumerate(losses)
    ]
    chosen.best_epoch = best
    chosen.seconds = time.perf_counter() - started
    return chosen
