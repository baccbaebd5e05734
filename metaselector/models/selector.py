"""The gated selector network."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.config.selector import SelectorInput
from metaselector.data.encoded.batch import Batch
from metaselector.models.mixture import MixtureOutput

PROBABILITY_FLOOR = 1e-6


class GatedSelector(nn.Module):
    """A distribution over the K base models from the features of a row and the base outputs.

    With x the selector's input for a row, ``h = relu(A x) * sigmoid(G x)`` and
    ``weights = (1 - u) softmax((W h + b) / temperature) + u / K``, u the `uniform_mixing`. W and b
    start at 0, so an untrained selector is the uniform average.

    x concatenates the chosen `inputs`, in this order:

    - fields: the pooled embeddings of the row's fields (F * D numbers),
    - outputs: the base models' log-odds o (K T),
    - disagreement: ``d_k = o_k - mean_j o_j``, and ``|d_k|`` (2 K T), by task. d is linear in the
      outputs, so A and G could compute it, but not how far apart the models are,
    - support-losses: the buffer ``support_losses`` (K T), the same for all rows of a user. The
      engine fills it with :func:`support_losses`; otherwise it is 0.

    Args:
        num_ids: rows of the embedding table (V).
        slot_fields: field index of every slot, length C; the slots of a field are adjacent.
        num_models: K.
        embedding_size: width of the selector's own embeddings (D).
        hidden_size: width of the gated layer.
        inputs: one or more kinds of input; without fields there is no embedding table.
        temperature: above 0.
        uniform_mixing: at least 0, less than 1.
        num_tasks: T.

    Example:
        >>> selector = GatedSelector(num_ids=4, slot_fields=[0, 1], num_models=2)
        >>> batch = Batch(torch.tensor([[1, 3]]), torch.ones(1, 2))
        >>> selector(batch, torch.tensor([[0.2, 0.6]]))  # untrained
        tensor([[0.5000, 0.5000]], grad_fn=<SoftmaxBackward0>)
    """

    tables: frozenset[str]
    first_slots: Tensor
    support_losses: Tensor
    context: dict[str, Callable[[MixtureOutput, Tensor, Tensor], Tensor]]
    """Buffers that an engine fills for each user; see :mod:`metaselector.meta.adapt.contract`."""

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        num_models: int,
        embedding_size: int = 8,
        hidden_size: int = 32,
        *,
        inputs: Collection[SelectorInput] = ("fields", "outputs"),
        temperature: float = 1.0,
        uniform_mixing: float = 0.0,
        num_tasks: int = 1,
    ) -> None:
        super().__init__()
        self.num_tasks = num_tasks
        self.inputs = frozenset(inputs)
        self.temperature = temperature
        self.uniform_mixing = uniform_mixing
        self.tables = frozenset({"embedding"} if "fields" in self.inputs else ())
        self.context = {}
        outputs = num_models * num_tasks
        widths = {"outputs": outputs, "disagreement": 2 * outputs}
        if "support-losses" in self.inputs:
            self.context = {"support_losses": support_losses}
            self.register_buffer("support_losses", torch.zeros(outputs), persistent=False)
            widths["support-losses"] = outputs
        if "fields" in self.inputs:
            fields = torch.as_tensor(list(slot_fields))
            first_slots = torch.searchsorted(fields, torch.arange(int(fields.max()) + 1))
            self.register_buffer("first_slots", first_slots, persistent=False)
            self.embedding = nn.Parameter(torch.randn(num_ids, embedding_size) * 0.01)
            widths["fields"] = len(first_slots) * embedding_size
        width = sum(widths[kind] for kind in self.inputs)
        self.hidden = nn.Linear(width, hidden_size)
        self.gate = nn.Linear(width, hidden_size)
        self.output = nn.Linear(hidden_size, outputs)
        nn.init.zeros_(self.output.weight)
        nn.init.zeros_(self.output.bias)

    def forward(self, batch: Batch, base_probabilities: Tensor) -> Tensor:
        """Weights on the simplex.

        Args:
            batch: slots ``[..., B, C]``.
            base_probabilities: ``[..., B, K]``, or ``[..., B, K, T]`` with several tasks.

        Returns:
            weights of the same shape, non-negative, with sum 1 over K.
        """
        x = torch.cat(self._inputs(batch, base_probabilities), dim=-1)
        h = F.relu(self.hidden(x)) * torch.sigmoid(self.gate(x))
        logits = self.output(h)
        if self.temperature != 1:
            logits = logits / self.temperature
        logits = logits.reshape(base_probabilities.shape)  # [..., B, K * T] to [..., B, K, T]
        weights = F.softmax(logits, dim=self._models_axis)
        if self.uniform_mixing:  # written so that uniform weights stay exactly that
            models = weights.shape[self._models_axis]
            weights = weights + self.uniform_mixing * (1 / models - weights)
        return weights

    @property
    def _models_axis(self) -> int:
        return -1 if self.num_tasks == 1 else -2

    def _inputs(self, batch: Batch, base_probabilities: Tensor) -> list[Tensor]:
        """The chosen inputs, each ``[..., B, numbers]``."""
        inputs = [self._fields(batch)] if "fields" in self.inputs else []
        # Not `eps` of torch.logit, whose second derivative at 0 and 1 is nan.
        odds = torch.logit(base_probabilities.clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR))
        if "outputs" in self.inputs:
            inputs.append(self._flat(odds))
        if "disagreement" in self.inputs:
            deviations = self._flat(odds - odds.mean(self._models_axis, keepdim=True))
            inputs += [deviations, deviations.abs()]
        if "support-losses" in self.inputs:
            inputs.append(self.support_losses.expand(*batch.ids.shape[:-1], -1))
        return inputs

    def _flat(self, outputs: Tensor) -> Tensor:
        """``[..., B, K * T]``."""
        return outputs if self.num_tasks == 1 else outputs.flatten(-2)

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


def support_losses(output: MixtureOutput, labels: Tensor, mask: Tensor) -> Tensor:
    """Mean logloss of each base model on a user's rows, ``[K]``, or ``[K * T]`` with several tasks.

    The mean is over the rows where the task is observed; 0 if there are none.

    Args:
        output: of these rows, with base probabilities ``[R, K]`` or ``[R, K, T]``.
        labels: ``[R]`` or ``[R, T]``, nan where a task is not observed.
        mask: ``[R]``.
    """
    p = output.base_probabilities.clamp(PROBABILITY_FLOOR, 1 - PROBABILITY_FLOOR)
    rows = len(mask)
    labels = labels.reshape(rows, 1, -1)  # [R, 1, T]
    p = p.reshape(rows, -1, labels.shape[-1])  # [R, K, T]
    counted = mask.view(rows, 1, 1) * ~labels.isnan()
    positive = labels.nan_to_num()
    losses = -(positive * p.log() + (1 - positive) * torch.log1p(-p))
    return ((losses * counted).sum(0) / counted.sum(0).clamp_min(1)).flatten()
