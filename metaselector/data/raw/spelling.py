"""Detect suspicious words: marks of missing values, and different spellings of one word.

Checks are vectorized over distinct words.
"""

from __future__ import annotations

import string
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.raw.values import shown

MISSING = (
    *("nan", "null", "none", "nil", "na", "n/a", "#n/a", "<na>", "nat", "\\n", "-", "--", "?"),
    *("undefined", "(null)", "<null>"),
)
"""Marks that programs write for missing values, in lower case."""
SURELY_MISSING = ("nan", "null", "#n/a", "<na>", "nat", "\\n", "undefined", "(null)", "<null>")
"""Marks that are never words; others may be, such as the occupation "none"."""
_BLANKS = string.whitespace + "\u00a0\u200b\u200c\u200d\u2060\u3000\ufeff"
_WHOLE = r"^\+?(-?)0*([0-9]+)(\.0*)?$"
_ODD = r"^(\+[0-9.]+|-?0[0-9.]+|-?[0-9]+\.0*)$"
EXAMPLES = 3
"""Maximum words listed in a message."""


class _Kind(NamedTuple):
    """One kind of problem with words.

    Attributes:
        problem: description for messages.
        suspect: bool ``[n]``, words with the problem.
        remedy: what to do.
        same: int64 ``[n]``, equal for words that may be the same; None if words are checked one by
            one.
    """

    problem: str
    suspect: NDArray[np.bool_]
    remedy: str
    same: NDArray[np.int64] | None = None


def doubts_of_names(names: Sequence[str], rows: Ints, what: str) -> Iterator[str]:
    """Yield warnings about the names of users or items, one clause per kind of problem.

    Args:
        names: distinct names.
        rows: int64 ``[n]``, rows of each.
        what: ``"user"`` or ``"item"``.
    """
    lost = f"all rows of such a name count as one {what}: remove them, or give each its own id"
    yield from _clauses(names, rows, what, MISSING, lost)


def doubts_of_words(words: Sequence[str]) -> Iterator[str]:
    """Yield warnings about the words of a feature, one clause per kind of problem."""
    yield from _clauses(words, None, "word", SURELY_MISSING, "leave missing ones empty")


def _clauses(
    words: Sequence[str], rows: Ints | None, what: str, marks: Sequence[str], lost: str
) -> Iterator[str]:
    texts = pa.array(words, pa.string())
    plain = pc.utf8_lower(pc.utf8_trim(texts, characters=_BLANKS))
    missing = _Kind("named like a missing value", _mask(pc.is_in(plain, pa.array(marks))), lost)
    for kind in (missing, *_spellings(texts, what)):
        if kind.suspect.any():
            number = int(np.count_nonzero(kind.suspect))
            yield (
                f"{kind.problem}: {number:,} {what}{'s' if number > 1 else ''} "
                f"({_examples(words, rows, kind)}); {kind.remedy}"
            )


def _examples(words: Sequence[str], rows: Ints | None, kind: _Kind) -> str:
    """List the most frequent suspects, or those that may equal it, and the rows of all."""
    places = np.flatnonzero(kind.suspect)
    if rows is not None:
        places = places[np.argsort(-rows[places], kind="stable")]
    chosen = places
    if kind.same is not None:
        chosen = places[kind.same[places] == kind.same[places[0]]]
    named = [shown(words[place]) for place in chosen[:EXAMPLES].tolist()]
    if kind.same is not None:  # make accents that look alike distinguishable
        named = [text.encode("ascii", "backslashreplace").decode() for text in named]
    more = ", …" if len(places) > len(chosen[:EXAMPLES]) else ""
    if rows is None:
        return ", ".join(named) + more
    total = int(rows[places].sum())
    return f"{', '.join(named)}{more}; {total:,} row{'s' if total != 1 else ''}"


def plain(words: pa.Array) -> pa.Array:
    """Normalize strings ``[n]``: trimmed, with one spelling of numbers and accents."""
    trimmed = pc.utf8_trim(words, characters=_BLANKS)
    number = pc.replace_substring_regex(trimmed, _WHOLE, r"\1\2")
    return number if pc.all(pc.string_is_ascii(number)).as_py() else _composed(number)


def _composed(words: pa.Array) -> pa.Array:
    return pc.utf8_normalize(words, form="NFC")


def _spellings(words: pa.Array, what: str) -> Iterator[_Kind]:
    """Yield the kinds of words that may equal another word."""
    apart = f"each spelling counts as a separate {what}: use one spelling"
    blank = _mask(pc.not_equal(pc.utf8_trim(words, characters=_BLANKS), words))
    yield _Kind("with surrounding blanks", blank, f"{apart}, without blanks")
    # Without such a word all numbers have one spelling; checking 2 million takes a second.
    odd = pc.any(pc.match_substring_regex(words, _ODD)).as_py()
    whole = _mask(pc.match_substring_regex(words, _WHOLE)) if odd else np.zeros(len(words), bool)
    number = pc.replace_substring_regex(words.filter(pa.array(whole)), _WHOLE, r"\1\2")
    yield _Kind("one number with several spellings", *_repeated(number, whole, apart))
    foreign = ~_mask(pc.string_is_ascii(words))
    composed = _composed(words.filter(pa.array(foreign)))
    yield _Kind("accents with several encodings", *_repeated(composed, foreign, apart))


def _repeated(
    plain: pa.Array, of: NDArray[np.bool_], remedy: str
) -> tuple[NDArray[np.bool_], str, Ints]:
    """Mark words, among those marked in `of`, whose `plain` spellings are equal."""
    same = np.full(len(of), -1, dtype=np.int64)
    same[of] = plain.dictionary_encode().indices.to_numpy()
    suspect = of.copy()
    suspect[of] = np.bincount(same[of])[same[of]] > 1
    return suspect, remedy, same


def _mask(found: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask
