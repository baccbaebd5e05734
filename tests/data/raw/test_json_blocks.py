"""Logs of JSON lines."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.raw.json_blocks import json_blocks, json_header


def write(folder: Path, text: str | bytes) -> Path:
    path = folder / "log.jsonl"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def read(path: Path, size: int = 2**20) -> dict[str, list[Any]]:
    names = json_header(path)
    found: dict[str, list[Any]] = {name: [] for name in ("line", *names)}
    for block in json_blocks(path, names, size):
        found["line"] += block.lines.tolist()
        for name in names:
            found[name] += block.columns[name].to_pylist()
    return found


words = st.text(st.characters(exclude_categories=["Cs"]), max_size=4)
scalars = st.none() | st.booleans() | st.integers(-(2**40), 2**40) | words


def text_of(value: Any) -> str | None:
    """What a value must read as."""
    if value is None or isinstance(value, str):
        return value
    return json.dumps(value)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.fixed_dictionaries(
            {"user": scalars},
            optional={"~/a.b": scalars, 'qu"ote': st.none() | st.lists(scalars, max_size=3)},
        ),
        min_size=1,
        max_size=8,
    ),
    st.booleans(),
    st.integers(1, 200),
)
def test_values_are_those_of_pythons_parser(
    tmp_path: Path, objects: list[dict[str, Any]], ascii_: bool, size: int
) -> None:
    text = "\n".join(json.dumps(one, ensure_ascii=ascii_) for one in objects) + "\n"
    found = read(write(tmp_path, text), size)
    assert found["line"] == list(range(1, len(objects) + 1))
    for name in found.keys() - {"line"}:
        expected = [
            [text_of(one) for one in value] if isinstance(value, list) else text_of(value)
            for value in (each.get(name) for each in objects)
        ]
        assert found[name] == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"a": 1}\n\n{"a": 2}\n', ":2: '' is not JSON"),
        ('{"a": 1}\n{"a": 2, "a": 3}\n', ":2 (column a): the key is given twice"),
        ('{"a": 1}\n[1]\n', ":2: '[1]' is not a JSON object"),
        ('{"a": 1}\n{"a": {"b": 1}}\n', ":2 (column a): a nested object is not a valid value"),
        ('{"a": [1]}\n{"a": 2}\n', ":2 (column a): is not a list, unlike in other lines"),
        ('{"a": 1}\n{"a": [2]}\n', ":2 (column a): is a list, unlike in other lines"),
        (b'{"a": 1}\n{"a": "\xff"}\n', ":2: byte 0xff at position 8 is not utf-8 text"),
        ('{"a": 1}\n{"a": "\\ud800"}\n', ":2: "),
        ('{"a": 1}\n{"a": 1', ":2: '{\"a\": 1' is not JSON"),
        ("{}\n", ":1: the first objects have no keys"),
    ],
)
@pytest.mark.parametrize("size", [1, 2**20])
def test_the_first_wrong_line_is_named(
    tmp_path: Path, text: str | bytes, said: str, size: int
) -> None:
    with pytest.raises(DataError) as error:
        read(write(tmp_path, text), size)
    assert f"log.jsonl{said}" in str(error.value)
