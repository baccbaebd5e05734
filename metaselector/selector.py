"""The gated selector network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.config import SelectorInput
from metaselector.data.batch import Batch
from metaselector.mixture import Mixed

PROBABILITY_FLOOR = 1e-6


class GatedSelector(nn.Module):
    """Features and base outputs to a distribution over the K base models.

    With x what the selector sees of a row, ``h = relu(A x) * sigmoid(G x)`` and
    ``weights = (1 - uniform_share) softmax((W h + b) / temperature) + uniform_share / K``. W and b
    start at 0, so an untrained selector is the uniform average.

    x has, in this order, those that are asked for of

    - fields: the pooled embeddings of the row's fields (F * D numbers),
    - outputs: the base models' log-odds o (K),
    - disagreement: ``d_k = o_k - mean_j o_j``, and ``|d_k|`` (2 K). A and G can make d of the
      outputs, as it is linear in them; how far the models are apart, in whichever direction, they
      cannot,
    - support-losses: the buffer ``support_losses`` (K), the same for all rows of a user; an engine
      fills it with :func:`support_losses`, and it is 0 elsewhere.

    Args:
        num_ids: rows of the embedding table (V).
        slot_fields: field index of every slot, length C; the slots of a field are adjacent.
        num_models: K.
        embedding_size: width of the selector's own embeddings (D).
        hidden_size: width of the gated layer.
        sees: one or more kinds of input; without fields there is no embedding table.
        temperature: above 0.
        uniform_share: at least 0, less than 1.
    """

    tables: frozenset[str]
    first_slots: Tensor
    support_losses: Tensor
    context: dict[str, Callable[[Mixed, Tensor, Tensor], Tensor]]
    """Buffers that an engine fills for each user; see :mod:`metaselector.adapt.engine`."""

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        num_models: int,
        embedding_size: int = 8,
        hidden_size: int = 32,
        *,
        sees: Collection[SelectorInput] = ("fields", "outputs"),
        temperature: float = 1.0,
        uniform_share: float = 0.0,
    ) -> None:
        super().__init__()
        self.sees = frozenset(sees)
        self.temperature = temperature
        self.uniform_share = uniform_share
        self.tables = frozenset({"embedding"} if "fields" in self.sees else ())
        self.context = {}
        inputs = {"outputs": num_models, "disagreement": 2 * num_models}
        if "support-losses" in self.sees:
            self.context = {"support_losses": support_losses}
            self.register_buffer("support_losses", torch.zeros(num_models), persistent=False)
            inputs["support-losses"] = num_models
        if "fields" in self.sees:
            fields = torch.as_tensor(list(slot_fields))
            first_slots = torch.searchsorted(fields, torch.arange(int(fields.max()) + 1))
            self.register_buffer("first_slots", first_slots, persistent=False)
            self.embedding = nn.Parameter(torch.randn(num_ids, embedding_size) * 0.01)
            inputs["fields"] = len(first_slots) * embedding_size
        width = sum(inputs[kind] for kind in self.sees)
        self.hidden = nn.Linear(width, hidden_size)
        self.gate = nn.Linear(width, hidden_size)
        self.output = nn.Linear(hidden_size, num_models)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: Batch, base_probabilities: Tensor) -> Tensor:
        """Weights on the simplex.

        Args:
            batch: slots ``[..., B, C]``.
            base_probabilities: ``[..., B, K]``.

        Returns:
            ``[..., B, K]``, non-negative, summing to 1 over K.
        """
        x = torch.cat(self._inputs(batch, base_probabilities), dim=-1)
        h = F.relu(self.hidden(x)) * torch.sigmoid(self.gate(x))
        logits = self.output(h)
        if self.temperature != 1:
            logits = logits / self.temperature
        weights = F.softmax(logits, dim=-1)
        if self.uniform_share:  # written so that uniform weights stay exactly that
            weights = weights + self.uniform_share * (1 / weights.shape[-1] - weights)
        return weights

    def _inputs(self, batch: Batch, base_probabilities: Tensor) -> list[Tensor]:
        """What is seen, each ``[..., B, numbers]``."""
        inputs = [self._fields(batch)] if "fields" in self.sees else []
        odds = torch.logit(base_probabilities, eps=PROBABILITY_FLOOR)
        if "outputs" in self.sees:
            inputs.append(odds)
        if "disagreement" in self.sees:
            deviations = odds - odds.mean(-1, keepdim=True)
            inputs += [deviations, deviations.abs()]
        if "support-losses" in self.sees:
            inputs.append(self.support_losses.expand(odds.shape))
        return inputs

    def _fields(self, batch: Batch) -> Tensor:
        """``[..., B, F * D]``."""
        ids, values = batch
        row_starts = torch.arange(0, ids.numel(), ids.shape[-1], device=ids.device)
        fields = F.embedding_bag(  # sums over each field's slots, [all rows * F, D]
            ids.reshape(-1),
            self.embedding,
            (row_starts.unsqueeze(-1) + self.first_slots).view(-1),
            mode="sum",
            per_sample_weights=values.reshape(-1),
        )
        width = len(self.first_slots) * self.embedding.shape[-1]
        return fields.reshape(*ids.shape[:-1], width)


def support_losses(output: Mixed, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean logloss ``[K]`` of every base model on a user's rows; 0 where there are none.

    Args:
        output: of these rows, with base probabilities ``[R, K]``.
        labels, mask: ``[R]``.
    """
    p = output.base_probabilities.clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    positive = labels.unsqueeze(-1)
    losses = -(positive * p.log() + (1 - positive) * torch.log1p(-p))  # [R, K]
    return (losses * mask.unsqueeze(-1)).sum(0) / mask.sum().clamp_min(1)
