"""Training data of one model in co-training, as tensors that snapshots can hold."""

from __future__ import annotations

import torch
from torch import Tensor

from metaselector.data.interactions import Ints
from metaselector.training.peer_learning.pairs import Pairs
from metaselector.training.peer_learning.together import NEVER, Member


class Share:
    """Labelled rows of one model, and the pairs that other models labelled for it.

    Attributes:
        rows: int64 ``[n]``.
        context, items, labels: the pairs, ``[most n]``; the first `count` are in use.
    """

    def __init__(self, member: Member, rows: Ints, most: float) -> None:
        self.member, self.rows = member, rows
        self.first = {n: t.detach().clone() for n, t in member.model.state_dict().items()}
        size = int(most * len(rows))
        self.context, self.items = (torch.zeros(size, dtype=torch.int64) for _ in range(2))
        self.labels = torch.zeros(size, dtype=torch.float32)
        self.count = torch.zeros(1, dtype=torch.int64)
        self.chosen = {n: t.clone() for n, t in self.first.items()}
        self.chosen_epoch = torch.zeros(1, dtype=torch.int64)

    def tensors(self) -> dict[str, Tensor]:
        """Its state for snapshots, by name."""
        name = self.member.name
        own = {
            "context": self.context,
            "items": self.items,
            "labels": self.labels,
            "count": self.count,
            "chosen_epoch": self.chosen_epoch,
        }
        named = {f"{name}/@{key}": tensor for key, tensor in own.items()}
        return named | {f"{name}/@chosen/{n}": t for n, t in self.chosen.items()}

    @property
    def pairs(self) -> Pairs:
        count = int(self.count)
        return Pairs(self.context[:count].numpy(), self.items[:count].numpy())

    def add(self, pairs: Pairs, labels: Tensor) -> None:
        """Add labelled pairs; the caller makes sure there is room."""
        old, new = int(self.count), int(self.count) + len(labels)
        self.context[old:new] = torch.from_numpy(pairs.context)
        self.items[old:new] = torch.from_numpy(pairs.items)
        self.labels[old:new] = labels
        self.count.fill_(new)

    def begin_again(self) -> None:
        """Reset model and optimizer, but keep the pairs."""
        self.member.model.load_state_dict(self.first)
        self.member.optimizer.state.clear()
        self.member.kept.copy_(torch.tensor([NEVER, 0, 0], dtype=torch.float64))
