"""The loss of a tuning target on *valid* with given settings, trained in memory.

Base models that the run has saved are reused where the settings do not change them. A trial saves
nothing and reads no row of *test*.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from metaselector.common.progress import Silent
from metaselector.config import Config
from metaselector.data.splitting.protocol import Window
from metaselector.meta.variants import LEARNED
from metaselector.runs.checkpoint_store import MemoryStore
from metaselector.runs.run import Run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.training.loop.divergence import Diverged

NEEDED: tuple[Window, ...] = ("early", "train")
"""The windows whose base models a selector is trained and validated with."""


def valid_losses(run: Run, target: str, config: Config) -> Iterator[float]:
    """Yield the target's loss on *valid* at its best epoch, per seed; infinite if it diverged."""
    for seed in config.seeds:
        only = relevant(config, target).model_copy(update={"seeds": (seed,)})
        try:
            loss = _valid_loss(Run(run.directory, only, run.parent, MemoryStore()), target, seed)
        except Diverged:
            loss = math.inf
        yield loss if math.isfinite(loss) else math.inf


def _valid_loss(trial: Run, target: str, seed: int) -> float:
    if target in LEARNED:
        pretrain_base_models(trial, Silent(), NEEDED)
        meta_train_selectors(trial, Silent(), tuple({"sample-selector": None, target: None}))
        learned = trial.checkpoints.learned_record(target, seed)
        history, best = learned.history, learned.best_epoch
    else:
        pretrain_base_models(trial, Silent(), ("train",))
        made = trial.checkpoints.base_record(target, "train", seed)
        history, best = made.history, made.epochs
    return next(row["valid_loss"] for row in history if row["epoch"] == best)


def relevant(config: Config, target: str) -> Config:
    """Return `config` with only the base models that the training of the target depends on.

    A selector depends on all of them, a base model on itself and its peers in peer learning.
    """
    if target in LEARNED or target in config.taught:
        return config
    return config.model_copy(update={"base_models": {target: config.base_models[target]}})
