"""Words and numbers to cells: the fields of a schema, fitted on *train* or taken as they are.

A cell is one int32 for each slot: the id; or, in a numeric field, the bits of the float32 value,
nan where missing.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.data.encoded.schema import NUMBER, PADDING_ID, Field, Owner, Schema
from metaselector.data.interactions import Ints
from metaselector.data.preparation.numbers import Numbers

Cells = NDArray[np.int32]
PROFILE_WORDS = 32
"""Most words of a profile, which has a slot for each: the most frequent ones in *train*."""


class Fields:
    """Makes fields one after the other, each with the next range of ids.

    Args:
        min_count: words in fewer rows of *train* are not in the vocabulary.
        known: take the fields of this schema instead of fitting them.
    """

    def __init__(self, min_count: int, known: Schema | None) -> None:
        self.made: list[Field] = []
        self._min_count = min_count
        self._known = {field.name: field for field in known.fields} if known else None
        self._next_id = PADDING_ID + 1

    def categorical(
        self,
        name: str,
        of: Owner,
        entries: Sequence[str],
        counts: Ints,
        min_count: int | None = None,
    ) -> Cells:
        """A field of one word.

        Args:
            entries: all words, also the empty one that stands for a missing word.
            counts: int64, rows of *train* with each of them.

        Returns:
            int32 ``[len(entries) + 1]``: the id of each entry, last that of a missing one.
        """
        field = self._known_or(name)
        if field is None:
            words = self._vocabulary(entries, counts, min_count)
            field = self._new(name=name, kind="categorical", of=of, slots=1, vocabulary=words)
        return _ids(field, [*entries, ""])

    def multivalued(
        self,
        name: str,
        of: Owner,
        entries: Sequence[tuple[str, ...]],
        counts: Ints,
        min_count: int | None = None,
    ) -> Cells:
        """A field of several words: as many slots as the entries of *train* have words at most.

        Returns:
            int32 ``[len(entries) + 1, slots]``: the ids of each entry's first words, last those of
            a missing one, which is padding.
        """
        field = self._known_or(name)
        words = sorted({word for entry in entries for word in entry})
        code = {word: i for i, word in enumerate(words)}
        if field is None:
            shown = [i for i, count in enumerate(counts) if count]
            slots = max([len(entries[i]) for i in shown] + [1])
        else:
            slots = field.slots
        table = np.full((len(entries) + 1, slots), -1, dtype=np.int64)
        for i, entry in enumerate(entries):
            found = [code[word] for word in entry[:slots]]
            table[i, : len(found)] = found
        if field is None:
            rows = np.repeat(counts, slots) * (table[:-1].ravel() >= 0)
            total = np.bincount(np.maximum(table[:-1].ravel(), 0), rows, len(words))
            chosen = self._vocabulary(words, total.astype(np.int64), min_count)
            field = self._new(name=name, kind="multivalued", of=of, slots=slots, vocabulary=chosen)
        ids = np.append(_ids(field, words), PADDING_ID)  # the last one answers code -1
        return ids[table].astype(np.int32)

    def numeric(self, name: str, of: Owner, numbers: Numbers, buckets: int | None) -> Field:
        """A field of a number, without a word for it where *train* has none.

        :func:`~metaselector.data.preparation.numbers.number_cells` encodes it.
        """
        field = self._known_or(name)
        if field is not None:
            return field
        if buckets is None:
            low, high = numbers.limits if numbers.count else (None, None)
            return self._new(
                name=name, kind="numeric", of=of, slots=1,
                vocabulary=(NUMBER,) if numbers.count else (),
                center=numbers.center, scale=numbers.deviation, low=low, high=high,
            )  # fmt: skip
        edges = numbers.edges(buckets)
        shown = _distinct(edges)
        words = [f"below {edge}" for edge in shown[:1]]
        words += [f"{a} to below {b}" for a, b in pairwise(shown)]
        words += [f"from {edge}" for edge in shown[-1:]]
        if numbers.count and not edges:
            words = ["any"]
        return self._new(
            name=name, kind="categorical", of=of, slots=1, vocabulary=tuple(words), edges=edges
        )

    def history(self, name: str, entries: Sequence[str], counts: Ints, slots: int) -> Cells:
        """The field of the latest liked items: int32 ``[len(entries)]``, an id for each item."""
        field = self._known_or(name)
        if field is None:
            words = self._vocabulary(entries, counts, None)
            field = self._new(
                name=name, kind="sequence", of="history", slots=slots, vocabulary=words
            )
        return _ids(field, entries)

    def profile(
        self, of_field: str, entries: Sequence[tuple[str, ...]], cells: Cells, counts: Ints
    ) -> NDArray[np.float64]:
        """The field of the mean over the liked items' words of the multi-valued `of_field`.

        Args:
            entries: the words of each item; they share a weight of 1.
            cells: what :meth:`multivalued` returned for them, int32 ``[len(entries), slots]``.
            counts: int64, rows of *train* with each item.

        Returns:
            float64 ``[len(entries), slots]``: each item's shares.
        """
        name = f"history_{of_field}"
        field = self._known_or(name)
        if field is None:
            source = next(made for made in self.made if made.name == of_field)
            words = source.vocabulary
            if len(words) > PROFILE_WORDS:
                code = cells.astype(np.int64) - source.first_id - 1
                inside = (code >= 0).ravel()
                rows = np.repeat(counts, cells.shape[1])
                total = np.bincount(code.ravel()[inside], rows[inside], len(words))
                chosen = np.sort(np.argsort(-total, kind="stable")[:PROFILE_WORDS])
                words = tuple(words[i] for i in chosen)
            field = self._new(
                name=name, kind="profile", of="history", slots=len(words), vocabulary=words
            )
        code_of = {word: i for i, word in enumerate(field.vocabulary)}
        shares = np.zeros((len(entries), field.slots))
        for i, entry in enumerate(entries):
            for word in entry:
                if word in code_of:
                    shares[i, code_of[word]] = 1 / len(entry)
        return shares

    def _known_or(self, name: str) -> Field | None:
        if self._known is None:
            return None
        self.made.append(self._known[name])
        return self.made[-1]

    def _new(self, **description: Any) -> Field:
        field = Field(first_id=self._next_id, **description)
        self._next_id += field.num_ids
        self.made.append(field)
        return field

    def _vocabulary(
        self, entries: Sequence[str], counts: Ints, min_count: int | None
    ) -> tuple[str, ...]:
        least = max(1, self._min_count if min_count is None else min_count)
        kept = {entries[i] for i in np.flatnonzero(counts >= least).tolist()}
        return tuple(sorted(kept - {""}, key=_natural))


def _ids(field: Field, words: Sequence[str]) -> Cells:
    encoder = field.encoder()
    return np.array([encoder.get(word, field.first_id) for word in words], dtype=np.int32)


def _distinct(numbers: Sequence[float]) -> list[str]:
    """Different numbers as short as they stay different."""
    for digits in (6, 9, 12, 17):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(numbers):
            break
    return texts


def _natural(word: str) -> tuple[int, str]:
    """Sort key that puts 2 before 10."""
    return (len(word) if word.isdigit() else 0, word)
