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
        slot_fields: field index of every slot, length C.
        num_models: K.
        embedding_size: width of the selector's own embeddings.
        hidden_size: width of the gated layer.
    """

    tables = frozenset({"embedding"})
    membership: Tensor

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
        self.register_buffer("membership", F.one_hot(fields).T.float(), persistent=False)  # [F, C]
        inputs = (int(fields.max()) + 1) * embedding_size + num_models
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
        slots = F.embedding(batch.ids, self.embedding) * batch.values.unsqueeze(-1)
        fields = self.membership.to(slots.dtype) @ slots  # [..., B, F, D]
        odds = torch.logit(base_probabilities, eps=PROBABILITY_FLOOR)
        x = torch.cat([fields.flatten(-2), odds], dim=-1)  # [..., B, F * D + K]
        h = F.relu(self.hidden(x)) * torch.sigmoid(self.gate(x))
        return F.softmax(self.output(h), dim=-1)
