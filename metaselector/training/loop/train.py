"""The training loop: epochs of steps, early stopping, and snapshots to resume from."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metaselector.common.progress import Progress
from metaselector.training.distributed import workers
from metaselector.training.distributed.agreement import Agreement
from metaselector.training.loop.divergence import Diverged, explain, finite
from metaselector.training.loop.interruption import Interrupted, interruptible
from metaselector.training.loop.snapshot import Snapshot, TrainingState
from metaselector.training.loop.snapshot_manager import NullSnapshotManager, SnapshotManager
from metaselector.training.loop.trainable import Trainable

LOGGED = 50
"""Steps between two logged losses."""


@dataclass(frozen=True)
class Plan:
    """How long to train.

    Attributes:
        first, last: first and last epoch, both included.
        steps: steps of all these epochs, for the progress bar.
        patience: epochs without a better loss on *valid* before training stops early.
        until: training does not stop early before this epoch.
        advice: what to try if the loss becomes non-finite.
    """

    first: int
    last: int
    steps: int
    patience: int
    until: int = 0
    advice: str = "lower the learning rate"


class EarlyStopping:
    """Tracks the best loss and its epoch.

    Args:
        patience: epochs without improvement before training is exhausted.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_epoch = 0

    def improved(self, epoch: int, loss: float) -> bool:
        """Record the loss of an epoch; true if it is the best so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            return True
        return False

    def exhausted(self, epoch: int) -> bool:
        """Whether `patience` epochs have passed since the best one."""
        return epoch - self.best_epoch >= self.patience


class Outcome(NamedTuple):
    """Result of a training run.

    Attributes:
        best: tensors of the best epoch; empty if there was no loss on *valid*.
        best_epoch: number of the best epoch.
        position: state at the end of training.
    """

    best: dict[str, Tensor]
    best_epoch: int
    position: TrainingState


def train(
    trainable: Trainable,
    plan: Plan,
    *,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None = None,
) -> Outcome:
    """Train from the beginning, or from the newest snapshot.

    Args:
        description: name in progress bars, logs and errors.
        snapshots: saves and loads snapshots; None keeps none.

    Raises:
        Diverged: a loss is non-finite; names the step, the users and the last good snapshot.
        Interrupted: stopped by SIGINT or SIGTERM after saving a snapshot.
    """
    return _Loop(trainable, plan, description, progress, snapshots or NullSnapshotManager()).run()


class _Loop:
    def __init__(
        self,
        trainable: Trainable,
        plan: Plan,
        description: str,
        progress: Progress,
        snapshots: SnapshotManager,
    ) -> None:
        self.trainable, self.plan, self.snapshots = trainable, plan, snapshots
        self.description, self.progress = description, progress
        self.at = TrainingState(plan.first)
        self.best: dict[str, Tensor] = {}
        self.agreement = Agreement(2)
        self.epoch_generator: Mapping[str, Any] = {}
        self.stopping = EarlyStopping(plan.patience)
        self.began = time.perf_counter()
        self.batches: Sequence[Any] = ()
        self.previous: Any = None

    def run(self) -> Outcome:
        trainable, at = self.trainable, self.at
        steps = self.plan.steps
        with (
            self.progress.task(self.description, steps) as advance,
            torch.random.fork_rng(enabled=trainable.torch_seed is not None),
            interruptible() as asked,
        ):
            if trainable.torch_seed is not None:
                torch.manual_seed(trainable.torch_seed)
            kept = self.snapshots.load(self.progress)
            if kept is not None:
                at = self._restored(kept)
                for _ in range(at.global_step):
                    advance()
            while not at.finished:
                self._begin(kept)
                kept = None
                for batch in self.batches[at.step :]:
                    self._step(batch)
                    advance()
                    self._keep(asked, wait=workers.count() == 1)
                self._end()
                self._keep(asked, wait=True)
        at.seconds = self._seconds()
        return Outcome(self.best, self.stopping.best_epoch, at)

    def _restored(self, kept: Snapshot) -> TrainingState:
        kept.restore(self.trainable)
        self.at, self.best = kept.position, kept.best()
        self.stopping.best_loss = self.at.best_loss
        self.stopping.best_epoch = self.at.best_epoch
        self.began -= self.at.seconds
        self._log({"event": "resumed"})
        return self.at

    def _begin(self, kept: Snapshot | None) -> None:
        """Draw the epoch's steps; after an interruption, from the same generator state."""
        bits = self.trainable.generator.bit_generator
        if kept is not None:
            bits.state = kept.record["epoch_generator"]
        self.epoch_generator = bits.state
        self.batches = self.trainable.begin(self.at.epoch)
        if self.at.step:  # without a step, nothing was drawn after the epoch's steps
            bits.state = bits.state if kept is None else kept.record["generator"]

    def _step(self, batch: Any) -> None:
        at = self.at
        in_step = self.trainable.in_step  # if not, the workers' losses differ
        loss = self.trainable.gradients(batch, at.epoch)
        if loss is not None:
            if in_step and not math.isfinite(loss):
                raise self._diverged(batch)
            self.trainable.update()
            at.losses.append(loss)
            if at.global_step % LOGGED == 0:
                self._log({"loss": loss})
        self.previous = batch
        at.step += 1
        at.global_step += 1

    def _diverged(self, batch: Any) -> Diverged:
        good, advice = self.snapshots.newest(), self.plan.advice
        what = (batch, self.previous, good, advice)
        return explain(self.trainable, self.description, self.at, *what)

    def _end(self) -> None:
        at, plan = self.at, self.plan
        self.trainable.synchronize()
        if not finite(self.trainable):
            raise self._diverged(None)
        train_loss = workers.mean(float(np.mean(at.losses))) if at.losses else None
        result = self.trainable.validate(at.epoch, self._seconds(), train_loss)
        line = {"epoch": at.epoch, "train_loss": train_loss, "valid_loss": result.valid_loss}
        at.history.append(line | dict(result.more))
        at.rates += result.rates
        self._log(at.history[-1] | {f"rate/{r['parameter']}": r["mean"] for r in result.rates})
        at.finished = result.finished or at.epoch == plan.last
        if result.valid_loss is not None:
            if self.stopping.improved(at.epoch, result.valid_loss):
                self.best = self.trainable.candidate()
            elif self.stopping.exhausted(at.epoch) and at.epoch >= plan.until:
                at.finished = True
            at.best_loss, at.best_epoch = self.stopping.best_loss, self.stopping.best_epoch
        at.epoch, at.step, at.losses = at.epoch + 1, 0, []
        self.epoch_generator = self.trainable.generator.bit_generator.state

    def _keep(self, asked: Callable[[], int | None], wait: bool) -> None:
        """Save a snapshot if one is due; stop if a signal asked for it.

        Workers stop and save together. Without `wait` they act on what the others reported after
        the previous step.
        """
        if not self.trainable.in_step:
            return
        if wait:
            self._say(asked())
        stop, due = self.agreement.hear()
        if stop or due:
            self.at.seconds = self._seconds()
            snapshot = Snapshot.of(self.trainable, self.at, self.best, self.epoch_generator)
            path = self.snapshots.newest()
            if finite(self.trainable):  # otherwise the next step raises the error
                path = self.snapshots.keep(self.at.global_step, snapshot)
            if stop:
                raise Interrupted(stop, path)
        if not wait:
            self._say(asked())

    def _say(self, asked: int | None) -> None:
        self.agreement.say(asked or 0, int(self.snapshots.due(self.at.global_step)))

    def _log(self, values: dict[str, Any]) -> None:
        where = {"epoch": self.at.epoch, "round": self.at.global_step}
        self.progress.log(self.description, where | values)

    def _seconds(self) -> float:
        return time.perf_counter() - self.began
