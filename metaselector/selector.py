"""The gated selector network."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.batch import Batch

PROBABILITY_FLOOR = 1e-6


class GatedSelector(nn.Module):
    """Features and base outputs to a distribution over the K base models.

    With x the pooled field embeddings of the row beside the base models' log-odds,
    ``h = relu(A x) * sigmoid(G x)`` and ``weights = softmax(W h + b)``. W and b start at 0, so an
    untrained selector is the uniform average.

    Args:
        num_ids: rows of the embedding table (V).
        slot_fields: field index of every slot, length C; the slots of a field are adjacent.
        num_models: K.
        embedding_size: width of the selector's own embeddings.
        hidden_size: width of the gated layer.
    """

    tables = frozenset({"embedding"})
    first_slots: Tensor

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        num_models: int,
        embedding_size: int = 8,
        hidden_size: int = 32,
    ) -> None:
        super().__init__()
        fields = torch.as_tensor(list(slot_fields))
        first_slots = torch.searchsorted(fields, torch.arange(int(fields.max()) + 1))
        self.register_buffer("first_slots", first_slots, persistent=False)
        inputs = len(first_slots) * embedding_size + num_models
        self.embedding = nn.Parameter(torch.randn(num_ids, embedding_size) * 0.01)
        self.hidden = nn.Linear(inputs, hidden_size)
        self.gate = nn.Linear(inputs, hidden_size)
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
        ids, values = batch
        row_starts = torch.arange(0, ids.numel(), ids.shape[-1], device=ids.device)
        fields = F.embedding_bag(  # sums over each field's slots, [all rows * F, D]
            ids.reshape(-1),
            self.embedding,
            (row_starts.unsqueeze(-1) + self.first_slots).view(-1),
            mode="sum",
            per_sample_weights=values.reshape(-1),
        )
        odds = torch.logit(base_probabilities, eps=PROBABILITY_FLOOR)
        features = fields.reshape(*ids.shape[:-1], self.hidden.in_features - odds.shape[-1])
        x = torch.cat([features, odds], dim=-1)  # [..., B, F * D + K]
        h = F.relu(self.hidden(x)) * torch.sigmoid(self.gate(x))
        return F.softmax(self.output(h), dim=-1)
