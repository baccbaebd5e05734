"""What a target loses on *valid* with some settings, in memory.

Base models that the run keeps are used where the settings do not change them; nothing is saved, and
no row of *test* is read.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from metaselector.common.progress import Silent
from metaselector.config import Config
from metaselector.data.splitting.protocol import Window
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import LEARNED, Variant
from metaselector.runs.run import Run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.training.loop.divergence import Diverged
from metaselector.training.loop.snapshot_manager import NullSnapshotManager, SnapshotManager
from metaselector.training.pretrain import Pretrained
from metaselector.training.transfer import Transferred

NEEDED: tuple[Window, ...] = ("early", "train")
"""What the base models behind a selector are trained on."""


def valid_losses(run: Run, target: str, config: Config) -> Iterator[float]:
    """The target's loss on *valid* at its best epoch, seed by seed; infinite if it diverged."""
    for seed in config.seeds:
        only = relevant(config, target).model_copy(update={"seeds": (seed,)})
        try:
            loss = _valid_loss(_InMemory(run.directory, only), target, seed)
        except Diverged:
            loss = math.inf
        yield loss if math.isfinite(loss) else math.inf


def _valid_loss(trial: _InMemory, target: str, seed: int) -> float:
    if target in LEARNED:
        pretrain_base_models(trial, Silent(), NEEDED)
        meta_train_selectors(trial, Silent(), tuple({"sample-selector": None, target: None}))
        learned = trial.load_learned(target, seed)
        history, best = learned.history, learned.best_epoch
    else:
        pretrain_base_models(trial, Silent(), ("train",))
        made = trial.load_base(target, "train", seed)[1]
        history, best = made.history, made.epochs
    return next(row["valid_loss"] for row in history if row["epoch"] == best)


def relevant(config: Config, target: str) -> Config:
    """`config` without the base models that a base model, as the target, stands beside.

    Those that teach it stay.
    """
    if target in LEARNED or target in config.taught:
        return config
    return config.model_copy(update={"base_models": {target: config.base_models[target]}})


@dataclass(frozen=True)
class _InMemory(Run):
    """A run that saves nothing, and loads what it trained or what was saved with its settings."""

    trained: dict[tuple[str | int, ...], Any] = field(default_factory=dict)

    def save_base(
        self, name: str, window: Window, seed: int, model: nn.Module, made: Pretrained
    ) -> None:
        self.trained[name, window, seed] = model.state_dict(), made

    def save_transferred(
        self, name: str, window: Window, seed: int, report: Sequence[Transferred]
    ) -> None:
        pass

    def base_tensors(
        self, name: str, window: Window, seed: int
    ) -> tuple[dict[str, Tensor], Pretrained]:
        if (name, window, seed) not in self.trained:
            return super().base_tensors(name, window, seed)
        kept: tuple[dict[str, Tensor], Pretrained] = self.trained[name, window, seed]
        return kept

    def has_base(self, name: str, window: Window, seed: int) -> bool:
        return (name, window, seed) in self.trained or super().has_base(name, window, seed)

    def base_keeper(self, name: str, window: Window, seed: int) -> SnapshotManager:
        return NullSnapshotManager()

    def taught_keeper(self, window: Window, seed: int) -> SnapshotManager:
        return NullSnapshotManager()

    def learned_keeper(self, variant: Variant, seed: int) -> SnapshotManager:
        return NullSnapshotManager()

    def save_learned(self, variant: Variant, seed: int, learned: MetaParameters) -> None:
        self.trained[variant, seed] = learned

    def load_learned(self, variant: Variant, seed: int) -> MetaParameters:
        if (variant, seed) not in self.trained:
            return super().load_learned(variant, seed)
        learned: MetaParameters = self.trained[variant, seed]
        return learned

    def has_learned(self, variant: Variant, seed: int) -> bool:
        return (variant, seed) in self.trained or super().has_learned(variant, seed)
