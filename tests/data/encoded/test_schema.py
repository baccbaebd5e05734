"""Inconsistent schemas raise an error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded.schema import NUMBER, Field, Schema

WORDS = ("a", "b")
WHOLE = Schema(
    dataset="shop",
    tasks=("click", "buy"),
    task_after=(-1, 0),
    label_threshold=1,
    history_length=2,
    windows=(60, 80, 90),
    fields=(
        Field(name="user", kind="categorical", of="user", slots=1, first_id=1, vocabulary=WORDS),
        Field(name="price", kind="numeric", of="item", slots=1, first_id=4, vocabulary=(NUMBER,)),
        # Two parts of a number whose words are equal when they are rounded.
        Field(
            name="age", kind="categorical", of="item", slots=1, first_id=6,
            vocabulary=("below 1", "1 to below 1", "from 1"), edges=(1.0, 1.0000001),
        ),
        Field(name="seen", kind="sequence", of="history", slots=2, first_id=10, vocabulary=()),
        Field(name="mean", kind="profile", of="history", slots=0, first_id=11, vocabulary=()),
    ),
)  # fmt: skip
FIELD = ("fields", 0)
SCHEMAS: dict[str, tuple[tuple[str | int, ...], Any, str]] = {
    "slots": ((*FIELD, "slots"), 2_000_000_000, "field 'user' has 2000000000 slots"),
    "negative slots": ((*FIELD, "slots"), -1, "field 'user' has -1 slots"),
    "many slots": (("fields", 3, "slots"), 2_000_000_000, "has 200000.* slots, more than 100000"),
    "ids": (("fields", 1, "first_id"), 1, "has ids from 1, not from"),
    "words": ((*FIELD, "vocabulary"), ["a", "a"], "field 'user' has the same word twice"),
    "scale": ((*FIELD, "scale"), 0.0, "has center 0.0 and scale 0.0"),
    "overlap": (("fields", 2, "first_id"), 5, "field 'age' has ids from 5, not from 6"),
    "edges": ((*FIELD, "edges"), [1.0, 2.0], "has edges that do not match its words"),
    "kind": (("fields", 1, "vocabulary"), ["a"], "is numeric but has a vocabulary"),
    "names": ((*FIELD, "name"), "price", "two fields have the same name"),
    "no fields": (("fields",), [], "has no fields"),
    "tasks": (("tasks",), ["a", "a"], "two tasks have the same name"),
    "no tasks": (("tasks",), [], "has no tasks"),
    "parents": (("task_after",), [0], "task_after"),
    "later parent": (("task_after",), [-1, 1], "task_after"),
    "windows": (("windows",), [60, 50, 120], r"windows are \[60, 50, 120\]"),
    "count": (("min_count",), 0, "too small"),
    "type": ((*FIELD, "slots"), "many", "not a schema this version can read"),
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "schema.json"
    path.write_text(WHOLE.model_dump_json())
    return path


def test_a_whole_one(file: Path) -> None:
    assert Schema.load(file) == WHOLE


@pytest.mark.parametrize("case", SCHEMAS)
def test_a_contradiction(file: Path, case: str) -> None:
    (*path, last), value, problem = SCHEMAS[case]
    schema = json.loads(file.read_text())
    inner = schema
    for part in path:
        inner = inner[part]
    inner[last] = value
    file.write_text(json.dumps(schema))
    with pytest.raises(DataError, match=problem) as raised:
        Schema.load(file)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    "text", ["", "[]", "[" * 100_000, '{"version": ' + "9" * 5000 + "}", "NaN"]
)
def test_invalid_schemas(file: Path, text: str) -> None:
    file.write_text(text)
    with pytest.raises(DataError, match="not a schema this version can read"):
        Schema.load(file)


@pytest.mark.parametrize("value", ["NaN", "Infinity", "1e999"])
def test_a_scale_that_is_not_finite(file: Path, value: str) -> None:
    file.write_text(file.read_text().replace('"scale":1.0', f'"scale":{value}'))
    with pytest.raises(DataError):
        Schema.load(file)
