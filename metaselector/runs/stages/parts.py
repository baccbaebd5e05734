"""The parts of a run: what is trained at once, and what it depends on.

A part is a training of base models (a window and a seed), or a meta-training (a variant and a
seed).
"""

from __future__ import annotations

from functools import cache
from typing import NamedTuple

from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.meta.variants import Variant, start_of
from metaselector.runs.run import Run
from metaselector.runs.stages.train import trainings


class Part(NamedTuple):
    """What is trained at once; its name is unique.

    Attributes:
        name: for the user.
        seed: of the training.
        models, window: which base models are trained together, and on what.
        variant: what is meta-trained instead.
        after: names of the parts that must be saved before.
    """

    name: str
    seed: int
    models: tuple[str, ...] = ()
    window: Window = "early"
    variant: Variant | None = None
    after: frozenset[str] = frozenset()


def parts_of(run: Run) -> list[Part]:
    """All trainings of a run, each after what it depends on.

    Of those that can start, the first one is to start: for all seeds, those with the longest chain
    of others that wait for them, and refits, which are short, last.
    """
    found: list[Part] = []
    for seed in run.config.seeds:
        base = _base_parts(run, seed)
        # Selectors learn above the models of *early*, and are validated above those of *train*.
        models = frozenset(part.name for part in base if part.window != "full")
        selectors = [_selector_part(variant, seed, models) for variant in run.variants]
        found += base + selectors[::-1]  # the later ones take longer

    @cache
    def chain(name: str) -> int:
        """How many parts wait for one another behind this one."""
        return max((1 + chain(part.name) for part in found if name in part.after), default=0)

    return sorted(found, key=lambda part: (-chain(part.name), part.window == "full"))


def _base_parts(run: Run, seed: int) -> list[Part]:
    found = []
    for models in trainings(run):
        names = [f"seed {seed}: {' + '.join(models)} ({window})" for window in WINDOWS]
        for name, window in zip(names, WINDOWS, strict=True):
            # The refit takes as many epochs as the training on *train* took.
            after = frozenset(names[:-1]) if window == "full" else frozenset[str]()
            found.append(Part(name, seed, models, window, after=after))
    return found


def _selector_part(variant: Variant, seed: int, models: frozenset[str]) -> Part:
    start = start_of(variant)
    before = frozenset() if start is None else {f"seed {seed}: {start}"}
    return Part(f"seed {seed}: {variant}", seed, variant=variant, after=models | before)
