"""What a base model is.

A base model scores a batch of (id, value) slots. It imports torch only, so that it can be read,
copied and reused by itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import ClassVar

from torch import Tensor, nn

Batch = tuple[Tensor, Tensor]
"""``(ids, values)``: int64 and float ``[..., B, C]``; id 0 with value 0 is padding."""


class BaseModel(nn.Module):
    """Base class of base models: ``forward((ids, values)) -> logits``.

    ``forward`` takes ids and values ``[..., B, C]`` and returns logits ``[..., B]``. It changes no
    state: no batch-norm running statistics, because the model may be adapted per user by a
    functional engine.

    Every parameter that is indexed by ids along its first axis must be named in ``tables``, as in
    ``named_parameters()``. The engine hands ``forward`` smaller tables with only the touched rows
    and ids remapped to them, so index with the given ids and nothing else. Id 0 stays 0.
    ``F.embedding`` and ``F.embedding_bag`` (modes sum and mean) are the fast way to do so; their
    options ``max_norm``, ``scale_grad_by_freq`` and any ``padding_idx`` but 0 cannot be adapted.

    A model that must know which field is the user, the item or so has a constructor argument for
    each and names it in ``fields`` with the field's usual name. A configuration may give another
    name as the option of that argument; the constructor gets the field's index.

    Args (of every subclass's constructor, before its own options):
        num_ids: rows of a table indexed by ids (V).
        slot_fields: field index of every slot, length C; the slots of a field are adjacent.
    """

    tables: ClassVar[tuple[str, ...]] = ()
    fields: ClassVar[Mapping[str, str]] = {}

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__()
        self.num_ids = num_ids
        self.num_fields = max(slot_fields) + 1

    def forward(self, batch: Batch) -> Tensor:
        raise TypeError(f"{type(self).__name__} must define forward(batch) -> logits [..., B]")
