"""Mutations of valid bytes: bits, pieces, or words that programs stumble over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

NUMBERS = (
    "0", "-0", "1", "-1", "+5", "007", "1.0", "0.5", "1e5", "1_000", "1,5", "0x10", ".5", "5.",
    "1e308", "-1e308", "1e309", "1e-320", "9007199254740993", "2147483648", "-2147483649",
    "9223372036854775807", "9223372036854775808", "18446744073709551616", "9" * 400, "1" + "0" * 30,
    "nan", "NaN", "inf", "-inf", "Infinity", "١٢", "½",
)  # fmt: skip
MISSING = ("", " ", "nan", "NULL", "null", "None", "NA", "N/A", "\\N", "-", "?", "~", "''", '""')
NAMES = (
    "ünï", "名前", "🎬", "a b", " a", "a ", "A", "ﬁ", "e\u0301", "\u202eabc", "\ufeffa", "\u2028",
    "\x1b[31mred\x1b[0m", "\x1b]0;title\x07", "[red]x[/red]", "$x_1$", "<b>x</b>", "=1+1",
    "../../x", "/etc/passwd", "C:\\x", "a/b", "con", "x" * 300, "\x00", "\r", "\x85",
    "{window}", "%s", "@SUM(A1)", "user", "item", "timestamp", "line", "label", "__class__",
)  # fmt: skip
TIMES = (
    "1600000000", "1600000000000", "1600000000.25", "2020-09-13", "2020-09-13T12:26:40Z",
    "2020-09-13T12:26:40.123456+02:00", "2020-02-30", "2020-09-13 12:26:40", "9999-12-31",
    "0001-01-01", "-62135596800", "253402300800", "T", "12:00",
)  # fmt: skip
MARKS = (
    ",", ";", "\t", "|", "::", ":", "\n", "\n\n", "\r\n", '"', '""', "'", "#", "- ", "? ", "{", "}",
    "[", "]", "&a ", "*a", "<<: ", "!!python/name:os.getpid ", "!!binary ", "!!set ", "---\n",
    "...\n", "%",
    "\\", "\\u0000", "\\ud800", "@", "`", "\ufeff",
)  # fmt: skip
WORDS = (*NUMBERS, *MISSING, *NAMES, *TIMES, *MARKS)
_MOST = 64 * 1024
"""Most bytes of a mutated input, so a hundred thousand take minutes."""

Mutation = Callable[[Random, bytes], bytes]


def mutated(random: Random, data: bytes, most: int = 6) -> bytes:
    """`data` after one to `most` changes; few are more likely than many."""
    for _ in range(min(most, 1 + int(random.expovariate(1.3)))):
        data = random.choice(MUTATIONS)(random, data)[:_MOST]
    return data


def word(random: Random) -> str:
    """A word that occurs in files and that programs stumble over."""
    return random.choice(WORDS)


def _span(random: Random, data: bytes, longest: int = 40) -> tuple[int, int]:
    start = random.randrange(len(data) + 1)
    return start, min(len(data), start + random.randint(1, longest))


def _flip(random: Random, data: bytes) -> bytes:
    if not data:
        return data
    at = random.randrange(len(data))
    return data[:at] + bytes([data[at] ^ 1 << random.randrange(8)]) + data[at + 1 :]


def _remove(random: Random, data: bytes) -> bytes:
    start, stop = _span(random, data)
    return data[:start] + data[stop:]


def _repeat(random: Random, data: bytes) -> bytes:
    start, stop = _span(random, data)
    times = random.choice((1, 1, 2, 3, 50, 1000))
    return data[:stop] + data[start:stop] * times + data[stop:]


def _insert(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    found = (
        word(random).encode() if random.random() < 0.8 else random.randbytes(random.randint(1, 9))
    )
    return data[:at] + found + data[at:]


def _cut(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def _swap(random: Random, data: bytes) -> bytes:
    a, b = sorted((random.randrange(len(data) + 1), random.randrange(len(data) + 1)))
    size = min(random.randint(1, 20), b - a, len(data) - b)
    return (
        data[:a] + data[b : b + size] + data[a + size : b] + data[a : a + size] + data[b + size :]
    )


def _zero(random: Random, data: bytes) -> bytes:
    start, stop = _span(random, data)
    return data[:start] + b"\x00" * (stop - start) + data[stop:]


def _another_word(random: Random, data: bytes) -> bytes:
    """Replace one value of a text, the part between two separators."""
    places = [at for at, byte in enumerate(data[:4096]) if byte in b',;\t|:\n "{}[]']
    if len(places) < 2:
        return _insert(random, data)
    chosen = random.randrange(len(places) - 1)
    return data[: places[chosen] + 1] + word(random).encode() + data[places[chosen + 1] :]


def _another_line(random: Random, data: bytes) -> bytes:
    """Move, drop or duplicate a line."""
    lines = data.split(b"\n")
    a, b = random.randrange(len(lines)), random.randrange(len(lines))
    match random.randrange(3):
        case 0:
            lines[a], lines[b] = lines[b], lines[a]
        case 1:
            del lines[a]
        case _:
            lines.insert(b, lines[a])
    return b"\n".join(lines)


MUTATIONS: Sequence[Mutation] = (
    _flip, _flip, _remove, _repeat, _insert, _insert, _cut, _swap, _zero,
    _another_word, _another_word, _another_word, _another_word, _another_line,
)  # fmt: skip
