"""Draft a schema for an unknown file, for the user to correct."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.data.implied_labels import Implied
from metaselector.data.microseconds import TIME_PARTS
from metaselector.data.own.column_profile import ROWS, ColumnProfile, profiles, sniffed
from metaselector.data.own.draft_guesses import (
    Guess,
    guess_keys,
    guess_labels,
    guess_time,
    parts,
    threshold,
    unit_of,
)
from metaselector.data.own.draft_order import implied_labels, in_order
from metaselector.data.own.yaml_file import CHANGE_ME
from metaselector.data.raw.file import RawFile

_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_YAML_WORDS = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
_TIME_PARTS = ("day_of_week", "season")
_SIDE_FILES = {
    "user": "{file: users.csv, key: user_id, features: {age: {kind: categorical}}}",
    "item": "{file: items.csv, key: item_id, features: {genres: {kind: multivalued}}}",
}
_FEW = 50  # maximum distinct whole numbers that may be codes


def draft(path: Path, folder: Path | None = None) -> str:
    """Draft a YAML schema for the interactions at `path` from its first 100,000 rows.

    Each column is described in a comment, and ``# check:`` marks guesses. ``CHANGE_ME`` marks a
    user, item or time that could not be guessed.

    Args:
        path: text or Parquet, see :class:`RawFile`.
        folder: where the schema will be; by default the working directory.

    Raises:
        DataError: the file is missing or malformed, or has no rows.
    """
    file = sniffed(path)
    return "\n".join(_lines(file, profiles(file), folder)) + "\n"


def marks(text: str) -> int:
    """How many lines of a draft are marked as guesses.

    Example:
        >>> marks("version: 1\\nlabels:  # check: the first one is evaluated\\n# Lines `# check:`")
        1
    """
    return len(re.findall("(?<!`)# check:", text))


def write_draft(path: Path, output: Path) -> None:
    """Write :func:`draft` to `output`; raises :class:`UserError` if it exists."""
    if output.exists():
        raise UserError(f"{output}: already exists; remove it, or choose another --output")
    write_text(output, draft(path, output.parent))


def _lines(file: RawFile, columns: list[ColumnProfile], folder: Path | None) -> Iterator[str]:
    path = file.path if folder is None else Path(os.path.relpath(file.path, folder))
    yield f"# Drafted from the first {columns[0].rows:,} rows of {file.path.name}. Correct lines"
    yield "# marked `# check:`, then pass this file to `metaselector reproduce --dataset`."
    yield "version: 1"
    yield f"name: {_name(file.path)}"
    yield f"interactions: {_quoted(path.as_posix())}"
    if file.separator not in (None, file.usual_separator):
        yield f"separator: {json.dumps(file.separator)}"
    time = guess_time(columns)
    rest = [column for column in columns if column is not time.column]
    user, item = guess_keys(rest)
    yield _key("user", user)
    yield _key("item", item)
    yield _time(time)
    labels = guess_labels([c for c in rest if c not in (user.column, item.column)])
    names = {"user", "item", "timestamp", "line", *_TIME_PARTS}
    yield from _labels(labels, names, implied_labels(file, labels))
    used = [user.column, item.column, time.column, *(label.column for label in labels)]
    yield from _features([column for column in columns if column not in used], names)
    yield f"time_parts: [{', '.join(_TIME_PARTS)}]  # any of {', '.join(TIME_PARTS)}"
    for role, example in _SIDE_FILES.items():
        side = file.path.with_suffix(f".{role}")
        if file.is_atomic and side.exists():
            yield from _side(side, path.with_suffix(f".{role}"), role, names)
        else:
            yield f"# {role}s: {example}"


def _side(file: Path, shown_as: Path, role: str, taken: set[str]) -> Iterator[str]:
    """Yield the section of an atomic file of users or items; `taken` are used field names."""
    columns = profiles(RawFile(file))
    user, item = guess_keys(columns)
    key = (user if role == "user" else item).column
    yield f"{role}s:"
    yield f"  file: {_quoted(shown_as.as_posix())}"
    yield f"  key: {_quoted(key.name) if key else CHANGE_ME}"
    for line in _features([column for column in columns if column is not key], taken):
        yield f"  {line}"


def _key(role: str, guess: Guess) -> str:
    if guess.column is None:
        return f"{role}: {CHANGE_ME}  # check: give the column of the {role}"
    return f"{role}: {_quoted(guess.column.name)}  # {guess.column}{_check(guess.doubt)}"


def _time(guess: Guess) -> str:
    column = guess.column
    if column is None:
        return f"time: {{column: {CHANGE_ME}}}  # check: give the column of the time, and its unit"
    name = f"column: {_quoted(column.name)}"
    if column.native and column.look == "time":  # its type determines the unit
        return f"time: {{{name}}}  # {column}{_check(guess.doubt)}"
    unit = unit_of(column, by_name=True) or CHANGE_ME
    return f"time: {{{name}, unit: {unit}}}  # {column}{_check(guess.doubt)}"


def _labels(guesses: list[Guess], taken: set[str], implied: dict[int, Implied]) -> Iterator[str]:
    if not guesses:
        yield "# check: no label was found, so all rows count as positives"
        yield "negatives: {per_positive: 4, sampling: uniform, seed: 0}"
        return
    yield "labels:  # check: the first one is evaluated"
    names: dict[int, str] = {}
    for place in in_order(len(guesses), implied):
        guess = guesses[place]
        column = guess.column
        assert column is not None
        names[place] = name = _free("_".join(parts(column.title)), taken)
        setting = f"column: {_quoted(column.name)}"
        doubt = guess.doubt
        if column.look != "flag":
            setting += f", threshold: {threshold(column):.15g}"
            doubt = doubt or "are values of at least the threshold positive?"
        said = str(column)
        if place in implied:
            earlier = names[implied[place].earlier]
            setting += f", after: {_quoted(earlier)}"
            if column.rows >= ROWS:
                doubt = doubt or f"after: is every {name} a {earlier} in later rows too?"
            said += f"; all {implied[place].positives:,} positives are a positive {earlier}"
        yield f"  {_quoted(name)}: {{{setting}}}  # {said}{_check(doubt)}"


def _features(columns: list[ColumnProfile], taken: set[str]) -> Iterator[str]:
    yield "features:"
    for column in columns:
        name = _free(column.title, taken)
        alias = [] if name == column.name else [f"column: {_quoted(column.name)}"]
        setting, doubt = _feature(column)
        line = f"{_quoted(name)}: {{{', '.join([*alias, *setting])}}}  # {column}"
        reason = _useless(column)
        yield f"  # {line}; left out: {reason}" if reason else f"  {line}{_check(doubt)}"


def _useless(column: ColumnProfile) -> str:
    """Why a column is not used as a feature; empty if it is."""
    present = column.rows - column.missing
    if not column.name:
        return "it has no name"
    if column.distinct <= 1:
        return "constant" if column.distinct else "empty in all rows"
    if column.look in ("time", "other"):
        return "a second time" if column.look == "time" else "unsupported type"
    is_id = parts(column.title)[-1:] == ["id"]
    # Prices may all differ, but whole numbers that do are counters.
    is_counter = column.look == "whole" and column.distinct == present
    if ((column.look == "words" or is_id) and column.distinct > present / 2) or is_counter:
        return "nearly all values are distinct"
    return ""


def _feature(column: ColumnProfile) -> tuple[list[str], str]:
    """The settings of a feature, and what to check."""
    if column.look == "lists":
        is_text = column.distinct > (column.rows - column.missing) / 2
        doubt = "nearly all values are distinct; is it free text?" if is_text else ""
        return ["kind: multivalued", f"separator: {json.dumps(column.separator)}"], doubt
    if column.look == "flag":
        return ["kind: categorical"], "known before the outcome, or a label?"
    if column.look == "words":
        return ["kind: categorical"], ""
    is_code = column.distinct <= _FEW or parts(column.title)[-1:] == ["id"]
    if column.look == "whole" and is_code:
        return ["kind: categorical"], "codes, or amounts (numeric)?"
    return ["kind: numeric"], "amounts, or codes (categorical)?" if column.look == "whole" else ""


def _free(name: str, taken: set[str]) -> str:
    """Return a free name for a field, and add it to `taken`."""
    name = f"column_{name}" if name.startswith("history_") or not name else name
    while name in taken:
        name += "_column"
    taken.add(name)
    return name


def _check(doubt: str) -> str:
    return f"  # check: {doubt}" if doubt else ""


def _name(path: Path) -> str:
    """Derive a data set's name from a file's."""
    stem = path.name.partition(".")[0]
    return _quoted(re.sub(r"[^A-Za-z0-9_-]+", "-", stem).strip("-") or "log")


def _quoted(text: str) -> str:
    if _PLAIN.fullmatch(text) and text.lower() not in _YAML_WORDS:
        return text
    return json.dumps(text, ensure_ascii=False)
