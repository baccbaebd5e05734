"""The parts of a run: what is trained or predicted at once, and what it depends on.

A part trains base models (of a window and a seed), meta-trains (a variant and a seed), or predicts
*test* with what was trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Any, Literal, NamedTuple

from metaselector.common.progress import Progress
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.meta.variants import Variant, start_of
from metaselector.runs.run import Run
from metaselector.runs.stages.evaluate import Tested
from metaselector.runs.stages.evaluate_seed import adapted, combined, with_adapted
from metaselector.runs.stages.support_curve import curve_models, points_of_model
from metaselector.runs.stages.train import meta_train_selector, pretrain_together, trainings

Kind = Literal["pretrain", "meta-train", "combine", "predict", "support curve"]


class Part(NamedTuple):
    """What is done at once; its name is unique.

    Attributes:
        name: for the user.
        seed: of the models.
        kind: what is done.
        models, window: which base models are trained together, and on what.
        variant: what is meta-trained or predicts.
        curve_model: the model of the support curve that predicts.
        after: names of the parts that must be done before.
    """

    name: str
    seed: int
    kind: Kind
    models: tuple[str, ...] = ()
    window: Window = "early"
    variant: Variant | None = None
    curve_model: str | None = None
    after: frozenset[str] = frozenset()

    @property
    def trains(self) -> bool:
        """Whether its result is a checkpoint; that of others is a value."""
        return self.kind in ("pretrain", "meta-train")

    def do(self, run: Run, progress: Progress) -> Any:
        """Do it, and return its value."""
        seed, splits = self.seed, run.protocol.evaluation_splits
        match self.kind:
            case "pretrain":
                return pretrain_together(run, self.models, self.window, seed, progress)
            case "meta-train":
                assert self.variant is not None
                return meta_train_selector(run, self.variant, seed, progress)
            case "combine":
                return [combined(run, split, seed) for split in splits]
            case "predict":
                assert self.variant is not None
                return [adapted(run, split, seed, self.variant) for split in splits]
            case "support curve":
                assert self.curve_model is not None
                return points_of_model(run, seed, self.curve_model)


def parts_of(run: Run) -> list[Part]:
    """All parts of a run, each after what it depends on.

    Of those that can start, the first one is to start: for all seeds, those with the longest chain
    of others that wait for them, and refits, which are short, after selectors.
    """
    found: list[Part] = []
    for seed in run.config.seeds:
        base = _base_parts(run, seed)
        # Selectors learn above the models of *early*, and are validated above those of *train*.
        models = frozenset(part.name for part in base if part.window != "full")
        selectors = [_selector_part(variant, seed, models) for variant in run.variants]
        every = frozenset(part.name for part in base)
        found += base + selectors[::-1]  # the later ones take longer
        found += _test_parts(run, seed, every)

    @cache
    def chain(name: str) -> int:
        """How many parts wait for one another behind this one."""
        return max((1 + chain(part.name) for part in found if name in part.after), default=0)

    return sorted(found, key=lambda part: (-chain(part.name), part.window == "full"))


def tested(run: Run, values: Mapping[str, Any]) -> Tested:
    """What was predicted of *test*.

    Args:
        values: of all parts that do not train, by name.
    """
    parts = [part for part in parts_of(run) if not part.trains]
    tables, curves = [], []
    for seed in run.config.seeds:
        mine = [part for part in parts if part.seed == seed]
        (by_split,) = (values[part.name] for part in mine if part.kind == "combine")
        variants = {part.variant: values[part.name] for part in mine if part.kind == "predict"}
        tables.append(
            [
                with_adapted(run, seed, of, {v: variants[v][i] for v in run.variants})
                for i, of in enumerate(by_split)
            ]
        )
        points = {part.curve_model: values[part.name] for part in mine}
        curves.append([point for model in curve_models(run) for point in points[model]])
    return Tested(tables, curves)


def _base_parts(run: Run, seed: int) -> list[Part]:
    found = []
    for models in trainings(run):
        names = [f"seed {seed}: {' + '.join(models)} ({window})" for window in WINDOWS]
        for name, window in zip(names, WINDOWS, strict=True):
            # The refit takes as many epochs as the training on *train* took.
            after = frozenset(names[:-1]) if window == "full" else frozenset[str]()
            found.append(Part(name, seed, "pretrain", models, window, after=after))
    return found


def _selector_part(variant: Variant, seed: int, models: frozenset[str]) -> Part:
    start = start_of(variant)
    before = frozenset() if start is None else {_trained(variant=start, seed=seed)}
    name = _trained(variant, seed)
    return Part(name, seed, "meta-train", variant=variant, after=models | before)


def _trained(variant: Variant, seed: int) -> str:
    return f"seed {seed}: {variant}"


def _test_parts(run: Run, seed: int, base: frozenset[str]) -> list[Part]:
    """What predicts *test*, above the base models of all windows; what takes longest first."""
    found = []
    for model, variant in curve_models(run).items():
        name, after = f"seed {seed}: support curve of {model}", base | {_trained(variant, seed)}
        found.append(Part(name, seed, "support curve", curve_model=model, after=after))
    found.append(Part(f"seed {seed}: test base models, combined", seed, "combine", after=base))
    for variant in run.variants:
        name, after = f"seed {seed}: test {variant}", base | {_trained(variant, seed)}
        found.append(Part(name, seed, "predict", variant=variant, after=after))
    return found
