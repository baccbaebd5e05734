"""Building blocks of the multi-task models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise as neighbours
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from base_models.contract import Batch, MultiTaskModel, Task, TaskModules
from base_models.layers import FieldEmbedding, mlp

Previous = Literal["joined", "detached", "isolated"]
"""How a task reads the logit of the task before it, see :class:`Towers`."""


class EmbeddedTasks(MultiTaskModel):
    """A multi-task model on field embeddings from one table.

    Attributes:
        embedding: the table.
        inputs: F * D, the width of the flattened field embeddings.
    """

    tables = ("embedding.weight",)

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks)
        self.embedding = FieldEmbedding(num_ids, embedding_size, slot_fields)
        self.inputs = self.num_fields * embedding_size

    def embed(self, batch: Batch) -> Tensor:
        """Field embeddings flattened to ``[..., B, F * D]``."""
        return self.embedding(*batch).flatten(-2)


def task_before(tasks: Sequence[Task], t: int) -> int | None:
    """The task whose result task t may read: the one it is after, otherwise the previous one."""
    after = tasks[t].after
    return (t - 1 if t else None) if after is None else after


class Towers(TaskModules):
    """One MLP per task: maps T representations ``[..., B, H]`` to logits ``[..., B, T]``.

    With `previous`, ``logit_t = h_t([z_t ; logit_s])`` for the task s before t
    (:func:`task_before`). A task reads the prediction, never the label, in training and afterwards.
    `previous` decides which parameters the loss of task t updates besides those of task t:

    - None: s is not read; the shared ones.
    - ``"joined"``: the shared ones, and all that produce the logit of s.
    - ``"detached"``: the shared ones; the logit of s is a constant.
    - ``"isolated"``: none, as the shared part is a constant too (:meth:`shield`).

    Args:
        inputs: H.
        sizes: hidden layer widths.
        dropout: after each hidden layer, 0 to 1.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        inputs: int,
        sizes: Sequence[int],
        dropout: float = 0.0,
        previous: Previous | None = None,
    ) -> None:
        if previous is not None and previous not in get_args(Previous):
            valid = ", ".join(get_args(Previous))
            raise ValueError(f"previous must be one of {valid}, or None, got {previous!r}")
        before = [task_before(tasks, t) if previous else None for t in range(len(tasks))]
        super().__init__(mlp([inputs + (s is not None), *sizes], dropout) for s in before)
        self.before = before
        self.previous = previous

    def forward(self, representations: Sequence[Tensor]) -> Tensor:
        logits: list[Tensor] = []
        for tower, z, s in zip(self, representations, self.before, strict=True):
            if s is not None:
                read = logits[s] if self.previous == "joined" else logits[s].detach()
                z = torch.cat([z, read], dim=-1)  # [..., B, H + 1]
            logits.append(tower(z))
        return torch.cat(logits, dim=-1)  # T of [..., B, 1] to [..., B, T]

    def shield(self, t: int, shared: Tensor) -> Tensor:
        """`shared` as task t reads it: unchanged, or a constant if the task is isolated."""
        isolated = self.previous == "isolated" and self.before[t] is not None
        return shared.detach() if isolated else shared


class Experts(nn.Module):
    """n MLPs with ReLU that read the same input: ``[..., B, inputs]`` to ``[..., B, n, H]``.

    Args:
        count: n.
        sizes: layer widths, at least one; the last one is H.

    Raises:
        ValueError: there is no expert, or no layer.
    """

    def __init__(self, count: int, inputs: int, sizes: Sequence[int], dropout: float = 0.0) -> None:
        super().__init__()
        if count < 1 or not sizes:
            raise ValueError(
                f"there must be at least one expert of one layer, got {count} of {list(sizes)}"
            )
        self.count = count
        # One layer computes all experts' first layers; it adapts faster than a stack of matrices.
        self.first = nn.Linear(inputs, count * sizes[0])
        self.later = nn.ModuleList(Linears(count, a, b) for a, b in neighbours(sizes))
        self.dropout = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        outputs = self.first(x).unflatten(-1, (self.count, -1))  # [..., B, n * H] to [..., B, n, H]
        outputs = self.dropout(outputs.relu())
        for layer in self.later:
            outputs = self.dropout(layer(outputs).relu())
        return outputs


class Linears(nn.Module):
    """n linear layers, each with its own input: ``[..., n, inputs]`` to ``[..., n, outputs]``.

    They are initialised like ``nn.Linear``.
    """

    def __init__(self, count: int, inputs: int, outputs: int) -> None:
        super().__init__()
        bound = inputs**-0.5
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-bound, bound))
        self.bias = nn.Parameter(torch.empty(count, outputs).uniform_(-bound, bound))

    def forward(self, x: Tensor) -> Tensor:
        rows = x.reshape(-1, *x.shape[-2:]).transpose(0, 1)  # [..., n, inputs] to [n, N, inputs]
        outputs = torch.baddbmm(self.bias.unsqueeze(1), rows, self.weight)
        return outputs.transpose(0, 1).reshape(*x.shape[:-1], -1)  # to [..., n, outputs]


def gate(inputs: int, count: int) -> nn.Linear:
    """A layer that scores `count` experts: linear and without bias, as in the papers."""
    return nn.Linear(inputs, count, bias=False)


def mix(scores: Tensor, experts: Tensor) -> Tensor:
    """``sum_n softmax(scores)_n experts_n``: ``[..., n]`` and ``[..., n, H]`` to ``[..., H]``."""
    return (scores.softmax(-1).unsqueeze(-1) * experts).sum(-2)


class SelfAttention(nn.Module):
    """Multi-head self-attention of n vectors, ``[..., n, D]`` to ``[..., n, D]``.

    Vaswani et al., "Attention is all you need", NeurIPS 2017, section 3.2.2. It is written out
    because fused kernels have no second derivative.
    """

    def __init__(self, size: int, heads: int) -> None:
        super().__init__()
        if heads < 1 or size % heads:
            raise ValueError(f"heads must divide embedding_size, got {heads} and {size}")
        self.heads = heads
        self.queries = nn.Linear(size, size, bias=False)
        self.keys = nn.Linear(size, size, bias=False)  # a bias would have no effect
        self.values = nn.Linear(size, size, bias=False)
        self.output = nn.Linear(size, size)

    def forward(self, x: Tensor) -> Tensor:
        queries, keys, values = (
            layer(x).unflatten(-1, (self.heads, -1)).transpose(-2, -3)  # [..., heads, n, D / heads]
            for layer in (self.queries, self.keys, self.values)
        )
        scores = queries @ keys.mT * keys.shape[-1] ** -0.5  # [..., heads, n, n]
        heads = scores.softmax(-1) @ values
        return self.output(heads.transpose(-2, -3).flatten(-2))  # [..., n, D]
