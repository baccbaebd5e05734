"""Similarity by the items' multi-valued features, such as genres."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from torch import Tensor, nn

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.models.similarity.pairs import item_of, item_slots, over_pairs
from metaselector.models.similarity.saving import arrays


class Features:
    """Cosine of the words of two items, averaged over their multi-valued fields.

    For items with the bags of words a and b in a field it is ``a . b / (|a| |b|)``: 1 if they are
    the same, 0 if no word is shared. A field counts if both items have a word in it; without one,
    the similarity is 0. Words that are not in the vocabulary do not count, as two of them may
    differ. There are no numbers if the items have no multi-valued field.

    Args:
        dataset: for its schema.
        base_models, training_rows, probabilities: not used.

    Attributes:
        names: ``("features",)``, or empty.
    """

    names: tuple[str, ...]

    def __init__(
        self,
        dataset: EncodedDataset,
        base_models: Mapping[str, nn.Module],
        training_rows: Ints,
        probabilities: NDArray[np.floating],
    ) -> None:
        self.names = _names(dataset.schema)

    def state(self) -> dict[str, Tensor]:
        """Nothing; items' features come with the rows."""
        return {}

    @classmethod
    def from_state(cls, schema: Schema, state: Mapping[str, Tensor]) -> Self:
        """Restore it for data of this schema."""
        arrays(state, {})
        made = cls.__new__(cls)
        made.names = _names(schema)
        return made

    def __call__(self, dataset: EncodedDataset, episodes: EpisodeRows) -> Tensor:
        fields = _fields(dataset.schema)

        def block(support: Ints, query: Ints) -> NDArray[np.float64]:
            total = np.zeros((len(support), len(query)))
            present = np.zeros_like(total)
            for field in fields:
                a, b = (_bags(dataset, field, items) for items in (support, query))
                squares = np.outer(*(bags.multiply(bags).sum(axis=1) for bags in (a, b)))
                total += (a @ b.T).toarray() / np.sqrt(np.where(squares > 0, squares, 1))
                present += squares > 0
            return total / np.maximum(present, 1)

        support, query = (item_of(dataset, rows) for rows in (episodes.support, episodes.query))
        return over_pairs(support, query, block).unsqueeze(-1)


def _names(schema: Schema) -> tuple[str, ...]:
    return ("features",) if _fields(schema) else ()


def _fields(schema: Schema) -> list[Field]:
    return [field for field in schema.fields_of("item") if field.kind == "multivalued"]


def _bags(dataset: EncodedDataset, field: Field, items: Ints) -> sparse.csr_array:
    """How often each item has each word, float64 ``[len(items), words]``.

    The slots of an item have the same value, which cancels.
    """
    slots = item_slots(dataset.schema, field)
    word = dataset.item_cells[items, slots].astype(np.int64) - field.first_id - 1
    item, slot = np.nonzero(word >= 0)  # neither padding nor unseen
    entries = np.ones(len(item)), (item, word[item, slot])
    return sparse.coo_array(entries, shape=(len(items), len(field.vocabulary))).tocsr()
