"""Fields of a schema, fitted on *train* or reused, and their cells.

A cell is an int32 per slot: an id, or in a numeric field the bits of a float32, nan if missing.
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
"""Maximum words of a profile, which has a slot for each: the most frequent in *train*."""


class Fields:
    """Creates fields one by one, each with the next range of ids.

    Args:
        min_count: words in fewer rows of *train* are left out of the vocabulary.
        known: reuse the fields of this schema instead of fitting them.
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
        """Create a field with one word per row.

        Args:
            name: name of the field.
            of: its owner.
            entries: all words; an empty one stands for a missing word.
            counts: int64, rows of *train* with each entry.
            min_count: overrides the general one.

        Returns:
            int32 ``[len(entries) + 1]``: the id of each entry, and last the id of a missing one.
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
        """Create a field with several words per row, with as many slots as *train* needs.

        Arguments are those of :meth:`categorical`, but an entry is a tuple of words.

        Returns:
            int32 ``[len(entries) + 1, slots]``: the ids of each entry's first words, and last
            padding for a missing entry.
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
        """Create a numeric or bucketed field, with an empty vocabulary if *train* has no values.

        :func:`~metaselector.data.preparation.numbers.number_cells` encodes its values.
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
        """Create the field of the latest positives; return the items' ids, int32 ``[I]``."""
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
        """Create the field of the mean of multi-valued `of_field` over a user's positives.

        Args:
            of_field: name of the multi-valued item field.
            entries: the words of each item, which share a weight of 1.
            cells: their cells from :meth:`multivalued`, int32 ``[len(entries), slots]``.
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
    ids = field.encoder()
    return np.array([ids.get(word, field.first_id) for word in words], dtype=np.int32)


def _distinct(numbers: Sequence[float]) -> list[str]:
    """Format distinct numbers with as few digits as keep them distinct."""
    for digits in (6, 9, 12, 17):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(numbers):
            break
    return texts


def _natural(word: str) -> tuple[int, str]:
    """Sort key that puts 2 before 10."""
    return (len(word) if word.isdigit() else 0, word)
