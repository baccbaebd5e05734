"""Similarity by the items' embeddings in a base model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import nearest
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.models.kernels.rows import take_tables
from metaselector.models.similarity.pairs import item_field, item_ids, item_of, over_pairs
from metaselector.models.similarity.saving import arrays


class Embeddings:
    """Cosine of the embeddings of two items in a base model.

    An item that is not in the vocabulary, or whose embedding is 0, has similarity 1 to itself and 0
    to others. There are no numbers if no base model has embeddings.

    Args:
        dataset: for its schema.
        base_models: by name. Embeddings are the first table with a row for each id and at least two
            columns. They are copied; what is learned later does not change them. If
            the table is sharded, each worker has a copy of the items' embeddings.
        training_rows, probabilities: not used.
        base_model: whose embeddings; by default the first, in alphabetical order, that has some.

    Attributes:
        names: ``("embeddings",)``, or empty.

    Raises:
        ValueError: there is no `base_model` of that name, or it has no embeddings.
    """

    names: tuple[str, ...]

    def __init__(
        self,
        dataset: EncodedDataset,
        base_models: Mapping[str, nn.Module],
        training_rows: Ints,
        probabilities: NDArray[np.floating],
        base_model: str | None = None,
    ) -> None:
        field, num_ids = item_field(dataset.schema), dataset.schema.num_ids
        tables = {
            name: table
            for name, model in sorted(base_models.items())
            if (table := _table(model, num_ids)) is not None
        }
        self.names = ()
        if field is None:
            return
        if base_model is not None and base_model not in tables:
            known = nearest(base_model, tables) if tables else "no base model has any"
            raise ValueError(f"base model '{base_model}' has no embeddings of items; {known}")
        table = tables[base_model] if base_model else next(iter(tables.values()), None)
        if table is None:
            return
        self.names = ("embeddings",)
        ids = torch.arange(field.first_id + 1, field.first_id + field.num_ids, device=table.device)
        rows = take_tables({"": table.detach()}, ids)[""]  # [I, D], a copy
        self._vectors: NDArray[np.float32] = rows.float().cpu().numpy()

    def state(self) -> dict[str, Tensor]:
        """``vectors``, float32 ``[I, D]``, of the items in the order of the vocabulary.

        Meta-training may have changed the base model's own table since.
        """
        return {"vectors": torch.from_numpy(self._vectors)}

    @classmethod
    def from_state(cls, schema: Schema, state: Mapping[str, Tensor]) -> Self:
        """Restore it from :meth:`state`; raises :class:`ValueError` if that is damaged."""
        made, field = cls.__new__(cls), item_field(schema)
        (made._vectors,) = arrays(state, {"vectors": (torch.float32, 2)})
        items = 0 if field is None else field.num_ids - 1
        if len(made._vectors) != items:
            raise ValueError(f"'vectors' has {len(made._vectors)} items, not {items}")
        made.names = ("embeddings",)
        return made

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        def block(support: Ints, query: Ints) -> NDArray[np.float64]:
            a, b = (self._directions(item_ids(dataset, items)) for items in (support, query))
            # Not BLAS, whose sums depend on which other items there are.
            found = np.clip(np.einsum("ad,bd->ab", a, b), -1, 1)
            found[support[:, None] == query] = 1
            return found

        support, query = (item_of(dataset, rows) for rows in (episodes.support, episodes.query))
        return over_pairs(support, query, block).unsqueeze(-1)

    def _directions(self, ids: Ints) -> NDArray[np.float64]:
        """Embeddings divided by their lengths, float64 ``[len(ids), D]``; 0 for unseen items."""
        vectors = np.zeros((len(ids), self._vectors.shape[1]))
        vectors[ids >= 0] = self._vectors[ids[ids >= 0]]
        lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
        directions: NDArray[np.float64] = vectors / np.where(lengths > 0, lengths, 1)
        return directions


def _table(model: nn.Module, num_ids: int) -> Tensor | None:
    """The first table of `model` that has a vector for each id."""
    parameters = dict(model.named_parameters())
    for name in getattr(model, "tables", ()):
        table = parameters[name]
        if table.ndim == 2 and table.shape[0] == num_ids and table.shape[1] > 1:
            return table
    return None
