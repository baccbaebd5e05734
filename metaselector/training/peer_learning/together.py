"""Several base models in one training, which is interrupted and resumed as a whole."""

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
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.training.freezing import Freezing
from metaselector.training.loop.clipping import clip_gradients
from metaselector.training.loop.trainable import Trainable
from metaselector.training.multi_task.objective import has_tasks, refuse_task_settings
from metaselector.training.predict import logloss, predict
from metaselector.training.pretrain import Pretrained

NEVER = 1e300
"""The best loss before there is one: what is trained must be finite."""
ADVICE = "lower pretrain.learning_rate of that base model, or set pretrain.clip_norm"


@dataclass(frozen=True)
class Peer:
    """A base model that is trained beside others.

    Attributes:
        name: what settings and messages call it.
        epochs: passes over its rows, at most where *valid* stops it.
    """

    name: str
    model: nn.Module
    config: PretrainConfig
    epochs: int
    freezing: Freezing


class Member:
    """A pupil with all that its training depends on, as tensors.

    Attributes:
        best: its weights at the best epoch; of a refit, those at the end.
        kept: float64 ``[3]``: the best valid loss, its epoch, and 1 if it has stopped learning.
        sums: float64 ``[3]``: of an epoch's losses against labels and peers, and its steps.
        random: state of the generator of its dropout, which is its own, so that a model draws the
            same whoever is trained beside it.
    """

    def __init__(self, peer: Peer, torch_seed: int) -> None:
        self.name, self.model, self.config = peer.name, peer.model, peer.config
        self.epochs, self.freezing = peer.epochs, peer.freezing
        if has_tasks(peer.model):
            raise ConfigError(
                f"peer_learning.strategy: base model '{peer.name}' has several tasks, and models "
                "teach each other one; leave it out, or train independently"
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
        """Whether it has stopped learning; it may go on teaching."""
        return bool(self.kept[2])

    @property
    def best_epoch(self) -> int:
        return int(self.kept[1])

    def tensors(self) -> dict[str, Tensor]:
        """All that a snapshot needs of it."""
        found: dict[str, Tensor] = {f"{self.name}/{n}": p for n, p in self.model.named_parameters()}
        found |= {f"{self.name}/@best/{n}": t for n, t in self.best.items()}
        own = {"kept": self.kept, "sums": self.sums, "random": self.random}
        return found | {f"{self.name}/@{n}": t for n, t in own.items()}

    @contextmanager
    def forward(self) -> Iterator[nn.Module]:
        """Its model, with its own random numbers, and without gradients where it is done."""
        torch.set_rng_state(self.random)
        with torch.set_grad_enabled(not self.done), Intercept(Lookups().handlers):
            yield self.model
        self.random.copy_(torch.get_rng_state())

    def learn(self, loss: Tensor, of_labels: float, of_peers: float) -> None:
        """Make the gradients of a step, and take down what it lost."""
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        self.sums += torch.tensor([of_labels, of_peers, 1.0], dtype=torch.float64)

    def update(self) -> None:
        if self.config.clip_norm is not None:
            clip_gradients(self.model.parameters(), self.config.clip_norm)
        self.optimizer.step()

    def validate(self, epoch: int, first: int, valid_loss: float | None, epochs: int) -> None:
        """Keep its weights if they are the best, and see whether it has learned enough.

        Args:
            epoch: that is over.
            first: the one in which it began.
            valid_loss: None of a refit, which keeps the last weights.
            epochs: most of them.
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
        """What its epoch came to; the sums begin anew."""
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
    """Members that take their steps together; what they learn from is said by subclasses."""

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
        """Those that still learn."""
        return [member for member in self.members if not member.done]

    def update(self) -> None:
        for member in self.learners():
            member.update()

    def valid_loss_of(self, member: Member) -> float | None:
        """The valid loss of a member; None of a refit."""
        if self._valid is None:
            return None
        return logloss(member.model, self._dataset, self._valid)

    def candidate(self) -> dict[str, Tensor]:
        return {}  # members keep their own best epochs

    @abstractmethod
    def rows_of(self, batch: Any) -> NDArray[np.int64]:
        """The rows, of all that a step learns from."""

    def users(self, batch: Any) -> list[str]:
        of_rows = self._dataset.users[self.rows_of(batch)]
        return [self._dataset.user_names[user] for user in dict.fromkeys(of_rows.tolist())]

    @torch.no_grad()
    def nonfinite_users(self, batch: Any) -> list[str]:
        rows = self.rows_of(batch)
        bad = np.zeros(len(rows), dtype=bool)
        for member in self.members:
            bad |= ~torch.isfinite(predict(member.model, self._dataset, rows)).numpy()
        users = self._dataset.users[rows[bad]]
        return [self._dataset.user_names[user] for user in dict.fromkeys(users.tolist())]

    def group_of(self, name: str) -> str:
        model, _, parameter = name.partition("/")
        return f"parameter '{parameter}' of base model '{model}'"


def part_of(batch: Batch, chosen: Tensor) -> Batch:
    """Some rows of a batch."""
    return Batch(*(slots.index_select(0, chosen) for slots in batch))


def outcome(member: Member, history: Sequence[dict[str, Any]], seconds: float) -> Pretrained:
    """What a run keeps of one of several, of the lines of all; `seconds` are its share.

    Raises:
        ConfigError: its valid loss was never a number.
    """
    lines = []
    for line in history:
        if f"train_loss/{member.name}" not in line:
            continue  # it had learned enough
        common = {k: v for k, v in line.items() if "/" not in k and not k.endswith("_loss")}
        own = {k.partition("/")[0]: v for k, v in line.items() if k.endswith(f"/{member.name}")}
        lines.append(common | own)
    if not member.best_epoch:
        raise ConfigError(
            f"base_models.{member.name}: the valid logloss is infinite or no number after every "
            "epoch; lower its pretrain.learning_rate"
        )
    return Pretrained(member.best_epoch, lines, seconds)


def finish(members: Sequence[Member]) -> None:
    """Leave the models as a run keeps them."""
    for member in members:
        member.freezing.end()
        member.model.eval()
