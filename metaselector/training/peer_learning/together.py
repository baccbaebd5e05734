"""Train several base models in one loop, which is interrupted and resumed as a whole."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Progress
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.training.freezing import Freezing
from metaselector.training.loop.clipping import clip_gradients
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.train import Plan, train
from metaselector.training.loop.trainable import Trainable
from metaselector.training.multi_task.objective import has_tasks, refuse_task_settings
from metaselector.training.predict import logloss, predict
from metaselector.training.pretrain import Pretrained

NEVER = 1e300
"""Initial best loss; finite because the loop checks all trained tensors."""
ADVICE = "lower pretrain.learning_rate of that base model, or set pretrain.clip_norm"


@dataclass(frozen=True)
class Peer:
    """A base model to train together with others.

    Attributes:
        name: name in settings and messages.
        epochs: passes over its rows; an upper limit with early stopping.
    """

    name: str
    model: nn.Module
    config: PretrainConfig
    epochs: int
    freezing: Freezing


class Member:
    """A peer in training, with its complete state as tensors.

    Attributes:
        best: weights of the best epoch; in a refit, of the last.
        kept: float64 ``[3]``: best valid loss, its epoch, and 1 once training has stopped.
        sums: float64 ``[3]``: sums of an epoch's label losses and peer losses, number of steps.
        random: state of its own dropout generator, so that its masks do not depend on its peers.
    """

    def __init__(self, peer: Peer, torch_seed: int) -> None:
        self.name, self.model, self.config = peer.name, peer.model, peer.config
        self.epochs, self.freezing = peer.epochs, peer.freezing
        if has_tasks(peer.model):
            raise ConfigError(
                f"peer_learning.strategy: base model '{peer.name}' has several tasks, but peer "
                "learning supports one; leave it out, or train independently"
            )
        refuse_task_settings(peer.config, f"base_models.{peer.name}")
        self.optimizer = torch.optim.Adam(
            self.model.parameters(),
            lr=self.config.learning_rate,
            weight_decay=self.config.weight_decay,
            fused=True,
        )
        self.best = {n: t.detach().clone() for n, t in self.model.state_dict().items()}
        self.kept = torch.tensor([NEVER, 0, 0], dtype=torch.float64)
        self.sums = torch.zeros(3, dtype=torch.float64)
        self.random = torch.Generator().manual_seed(torch_seed).get_state()

    @property
    def done(self) -> bool:
        """Whether it has stopped learning; it may still teach."""
        return bool(self.kept[2])

    @property
    def best_epoch(self) -> int:
        return int(self.kept[1])

    def tensors(self) -> dict[str, Tensor]:
        """Its state for snapshots, by name."""
        named: dict[str, Tensor] = {f"{self.name}/{n}": p for n, p in self.model.named_parameters()}
        named |= {f"{self.name}/@best/{n}": t for n, t in self.best.items()}
        own = {"kept": self.kept, "sums": self.sums, "random": self.random}
        return named | {f"{self.name}/@{n}": t for n, t in own.items()}

    @contextmanager
    def forward(self) -> Iterator[nn.Module]:
        """Yield its model, with its own random state and, once it is done, without gradients."""
        torch.set_rng_state(self.random)
        with torch.set_grad_enabled(not self.done), Intercept(Lookups().handlers):
            yield self.model
        self.random.copy_(torch.get_rng_state())

    def learn(self, loss: Tensor, of_labels: float, of_peers: float) -> None:
        """Compute the gradients of a step and add its losses to the sums."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.sums += torch.tensor([of_labels, of_peers, 1.0], dtype=torch.float64)

    def update(self) -> None:
        if self.config.clip_norm is not None:
            clip_gradients(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()

    def validate(self, epoch: int, first: int, valid_loss: float | None, epochs: int) -> None:
        """Keep its weights if they are the best, and decide whether it stops.

        Args:
            epoch: the finished epoch.
            first: the epoch in which it started.
            valid_loss: None in a refit, which keeps the last weights.
            epochs: maximum number of epochs.
        """
        last = epoch - first + 1 >= epochs
        if valid_loss is None:
            better, exhausted = last, False
        else:
            better = valid_loss < self.kept[0].item()
            until = first + self.freezing.thawed + self.config.patience - 2
            since = epoch - (self.best_epoch or first - 1)
            exhausted = not better and since >= self.config.patience and epoch >= until
        if better:
            self.kept[0] = NEVER if valid_loss is None else valid_loss
            self.kept[1] = epoch
            copy_into(self.best, self.model.state_dict())
        if last or exhausted:
            self.kept[2] = 1
            if self.best_epoch:
                self.model.load_state_dict(self.best)

    def line(self, valid_loss: float | None) -> dict[str, float | None]:
        """The epoch's record for the history; resets the sums."""
        labels, peers, steps = self.sums.tolist()
        self.sums.zero_()
        return {
            f"train_loss/{self.name}": labels / steps if steps else None,
            f"peers_loss/{self.name}": peers / steps if steps else None,
            f"valid_loss/{self.name}": valid_loss,
        }


@torch.no_grad()
def copy_into(target: Mapping[str, Tensor], source: Mapping[str, Tensor]) -> None:
    for name, tensor in source.items():
        target[name].copy_(tensor)


class Together(Trainable):
    """Members that take their steps together; subclasses define what they learn from."""

    def __init__(
        self,
        peers: Sequence[Peer],
        dataset: EncodedDataset,
        valid: NDArray[np.int64] | None,
        generator: np.random.Generator,
    ) -> None:
        self._dataset, self._valid, self.generator = dataset, valid, generator
        self._device = next(peers[0].model.parameters()).device
        self.torch_seed = int(generator.integers(2**31))
        self.members = [Member(peer, self.torch_seed) for peer in peers]
        self.optimizers = [member.optimizer for member in self.members]
        self.parameters = {n: t for member in self.members for n, t in member.tensors().items()}

    def learners(self) -> list[Member]:
        """Members that still learn."""
        return [member for member in self.members if not member.done]

    def update(self) -> None:
        for member in self.learners():
            member.update()

    def valid_loss_of(self, member: Member) -> float | None:
        """Valid loss of a member; None in a refit."""
        if self._valid is None:
            return None
        return logloss(member.model, self._dataset.as_predicted, self._valid)

    def candidate(self) -> dict[str, Tensor]:
        return {}  # members keep their own best epochs

    @abstractmethod
    def rows_of(self, batch: Any) -> NDArray[np.int64]:
        """The rows in a step's batch."""

    def users(self, batch: Any) -> list[str]:
        return self._users(self.rows_of(batch))

    def _users(self, rows: NDArray[np.int64]) -> list[str]:
        users = self._dataset.users[rows]
        return [self._dataset.user_names[user] for user in dict.fromkeys(users.tolist())]

    @torch.no_grad()
    def nonfinite_users(self, batch: Any) -> list[str]:
        rows = self.rows_of(batch)
        bad = np.zeros(len(rows), dtype=bool)
        for member in self.members:
            bad |= ~torch.isfinite(predict(member.model, self._dataset, rows)).numpy()
        return self._users(rows[bad])

    def group_of(self, name: str) -> str:
        model, _, parameter = name.partition("/")
        return f"parameter '{parameter}' of base model '{model}'"

    def keep_chosen(self) -> None:
        """Hook after training: restore the weights to keep, if they are not the current ones."""
        return None

    def train(
        self,
        last: int,
        steps: int,
        description: str,
        progress: Progress,
        snapshots: SnapshotManager | None,
    ) -> dict[str, Pretrained]:
        """Train all members for at most `last` epochs, in place; results by name.

        Every member is given an equal share of the seconds.
        """
        plan = Plan(first=1, last=last, steps=steps, patience=last, advice=ADVICE)
        try:
            result = train(
                self, plan, description=description, progress=progress, snapshots=snapshots
            )
            self.keep_chosen()
        finally:
            for member in self.members:
                member.freezing.end()
                member.model.eval()
        history, seconds = result.position.history, result.position.seconds / len(self.members)
        return {member.name: _pretrained(member, history, seconds) for member in self.members}


def part_of(batch: Batch, chosen: Tensor) -> Batch:
    """Select rows of a batch."""
    return Batch(*(slots.index_select(0, chosen) for slots in batch))


def _pretrained(member: Member, history: Sequence[dict[str, Any]], seconds: float) -> Pretrained:
    """Result of one member, from the history of all; `seconds` is its share.

    Raises:
        ConfigError: its valid loss was never finite.
    """
    lines = []
    for line in history:
        if f"train_loss/{member.name}" not in line:
            continue  # it had stopped
        common = {k: v for k, v in line.items() if "/" not in k and not k.endswith("_loss")}
        own = {k.partition("/")[0]: v for k, v in line.items() if k.endswith(f"/{member.name}")}
        lines.append(common | own)
    if not member.best_epoch:
        raise ConfigError(
            f"base_models.{member.name}: the valid logloss is non-finite after every epoch; lower "
            "its pretrain.learning_rate"
        )
    return Pretrained(member.best_epoch, lines, seconds)
