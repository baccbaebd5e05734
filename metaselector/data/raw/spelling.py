"""Words that may not be what they seem: marks of missing values, and one word written in two ways.

Only distinct words are looked at, all at once.
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
"""What programs write for a missing value, in lower case."""
SURELY_MISSING = ("nan", "null", "#n/a", "<na>", "nat", "\\n", "undefined", "(null)", "<null>")
"""Those of them that are hardly the word for anything: an occupation may well be none."""
_BLANKS = string.whitespace + "\u00a0\u200b\u200c\u200d\u2060\u3000\ufeff"
_WHOLE = r"^\+?(-?)0*([0-9]+)(\.0*)?$"
_ODD = r"^(\+[0-9.]+|-?0[0-9.]+|-?[0-9]+\.0*)$"
EXAMPLES = 3
"""Words that a sentence names."""


class _Kind(NamedTuple):
    """One thing that may be wrong with words.

    Attributes:
        problem: what it is.
        suspect: bool ``[n]``, which words have it.
        remedy: what to do.
        same: int64 ``[n]``, equal for words that may be the same; None where each is one.
    """

    problem: str
    suspect: NDArray[np.bool_]
    remedy: str
    same: NDArray[np.int64] | None = None


def doubts_of_names(names: Sequence[str], rows: Ints, what: str) -> Iterator[str]:
    """Clauses about the names of users or items, one for each thing that may be wrong.

    Args:
        names: distinct.
        rows: int64 ``[n]``, how often each occurs.
        what: ``"user"`` or ``"item"``.
    """
    lost = f"all rows of one count as one {what}: remove them, or give each its own id"
    yield from _clauses(names, rows, what, MISSING, lost)


def doubts_of_words(words: Sequence[str]) -> Iterator[str]:
    """The same of the words of a feature, which are not counted."""
    yield from _clauses(words, None, "word", SURELY_MISSING, "leave missing ones empty")


def _clauses(
    words: Sequence[str], rows: Ints | None, what: str, marks: Sequence[str], lost: str
) -> Iterator[str]:
    texts = pa.array(words, pa.string())
    plain = pc.utf8_lower(pc.utf8_trim(texts, characters=_BLANKS))
    missing = _Kind("called like a missing value", _mask(pc.is_in(plain, pa.array(marks))), lost)
    for kind in (missing, *_spellings(texts, what)):
        if kind.suspect.any():
            number = int(np.count_nonzero(kind.suspect))
            yield (
                f"{kind.problem}: {number:,} {what}{'s' if number > 1 else ''} "
                f"({_examples(words, rows, kind)}); {kind.remedy}"
            )


def _examples(words: Sequence[str], rows: Ints | None, kind: _Kind) -> str:
    """The most frequent of them, or what it may be the same as; and how many rows all have."""
    places = np.flatnonzero(kind.suspect)
    if rows is not None:
        places = places[np.argsort(-rows[places], kind="stable")]
    chosen = places
    if kind.same is not None:
        chosen = places[kind.same[places] == kind.same[places[0]]]
    named = [shown(words[place]) for place in chosen[:EXAMPLES].tolist()]
    if kind.same is not None:  # accents that look the same
        named = [text.encode("ascii", "backslashreplace").decode() for text in named]
    more = ", …" if len(places) > len(chosen[:EXAMPLES]) else ""
    if rows is None:
        return ", ".join(named) + more
    total = int(rows[places].sum())
    return f"{', '.join(named)}{more}; {total:,} row{'s' if total != 1 else ''}"


def plain(words: pa.Array) -> pa.Array:
    """Strings ``[n]`` without blanks around, numbers and accents in one spelling."""
    trimmed = pc.utf8_trim(words, characters=_BLANKS)
    number = pc.replace_substring_regex(trimmed, _WHOLE, r"\1\2")
    return number if pc.all(pc.string_is_ascii(number)).as_py() else _composed(number)


def _composed(words: pa.Array) -> pa.Array:
    return pc.utf8_normalize(words, form="NFC")


def _spellings(words: pa.Array, what: str) -> Iterator[_Kind]:
    """Words that may be the same as another."""
    apart = f"each spelling counts as another {what}: write all alike"
    blank = _mask(pc.not_equal(pc.utf8_trim(words, characters=_BLANKS), words))
    yield _Kind("written with blanks around", blank, f"{apart}, without blanks")
    # Without such a word, all numbers are spelled in one way: those of 2 million take a second.
    odd = pc.any(pc.match_substring_regex(words, _ODD)).as_py()
    whole = _mask(pc.match_substring_regex(words, _WHOLE)) if odd else np.zeros(len(words), bool)
    number = pc.replace_substring_regex(words.filter(pa.array(whole)), _WHOLE, r"\1\2")
    yield _Kind("one number written in several ways", *_repeated(number, whole, apart))
    foreign = ~_mask(pc.string_is_ascii(words))
    composed = _composed(words.filter(pa.array(foreign)))
    yield _Kind("accents encoded in several ways", *_repeated(composed, foreign, apart))


def _repeated(
    plain: pa.Array, of: NDArray[np.bool_], remedy: str
) -> tuple[NDArray[np.bool_], str, Ints]:
    """Which words, those that are `of` it, are equal in their `plain` spelling."""
    same = np.full(len(of), -1, dtype=np.int64)
    same[of] = plain.dictionary_encode().indices.to_numpy()
    suspect = of.copy()
    suspect[of] = np.bincount(same[of])[same[of]] > 1
    return suspect, remedy, same


def _mask(found: pa.Array) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = found.to_numpy(zero_copy_only=False)
    return mask
