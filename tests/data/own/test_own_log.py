"""Logs in text files, read by their schema."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import ConfigError
from metaselector.data.fetch import fetch
from metaselector.data.interactions import Feature, Negatives, Task
from metaselector.data.own.own_log import OwnLog, read_log
from metaselector.data.raw import csv_blocks
from metaselector.data.raw.csv_blocks import text_blocks
from metaselector.data.raw.csv_lines import read_slowly
from metaselector.data.registry import dataset, read

from .conftest import LOG, check, write


def test_csv(tmp_path: Path) -> None:
    table = read_log(write(tmp_path))
    check(table)
    assert table.name == "shop"
    assert table.source == tmp_path / "log.csv"
    assert table.tasks == (Task("like", 4.0), Task("bought", 1.0, flag=True))
    assert table.features == (
        Feature("price", "numeric"),
        Feature("tags", "multivalued"),
        Feature("device"),
    )
    assert table.negatives is None
    assert table.repairs == []
    assert {block.user.type for block in table.read()} == {pa.dictionary(pa.int32(), pa.string())}


def test_it_is_read_again(tmp_path: Path) -> None:
    table = read_log(write(tmp_path))
    assert sum(len(block.lines) for block in table.read()) == 3
    assert sum(len(block.lines) for block in table.read()) == 3


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: "\ufeff" + text,
        lambda text: text + "\n\n",
        lambda text: text.removesuffix("\n"),
        lambda text: text.replace("5,1", "+5,TRUE"),  # which the fast parser refuses
    ],
    ids=["line ends", "byte order mark", "blank end", "no end", "slow"],
)
def test_other_spellings(tmp_path: Path, change: Callable[[str], str]) -> None:
    check(read_log(write(tmp_path, change(LOG))))


def test_gzip(tmp_path: Path) -> None:
    raw = gzip.compress(LOG.encode())
    check(read_log(write(tmp_path, raw, interactions="log.csv.gz")))


@pytest.mark.parametrize(("name", "separator"), [("log.tsv", None), ("log.txt", "\t")])
def test_tabs(tmp_path: Path, name: str, separator: str | None) -> None:
    rows = list(csv.reader(io.StringIO(LOG)))
    text = io.StringIO()
    csv.writer(text, delimiter="\t", lineterminator="\n").writerows(rows)
    check(read_log(write(tmp_path, text.getvalue(), interactions=name, separator=separator)))


def test_empty_values_at_the_end_of_a_file_with_tabs(tmp_path: Path) -> None:
    text = "who\twhat\twhen\tbought\tdevice\na\tb\t1\t1\tx\na\tc\t2\t0\t"
    labels, features = {"bought": {"column": "bought"}}, {"device": {}}
    for end in ("", "\n", "\n\n"):
        schema = write(tmp_path, text + end, interactions="l.tsv", labels=labels, features=features)
        assert read_log(schema).interactions["device"].fillna("").tolist() == ["x", ""]


def test_blocks_carry_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(csv_blocks.text_blocks, "__defaults__", (60, True))
    table = read_log(write(tmp_path))
    assert len(list(table.read())) == 3
    check(table)


def test_other_data(tmp_path: Path) -> None:
    schema = write(tmp_path, None)
    (tmp_path / "elsewhere.txt").write_text(LOG)
    table = read_log(schema, tmp_path / "elsewhere.txt")
    check(table)
    assert table.source == tmp_path / "elsewhere.txt"


@pytest.mark.parametrize(
    ("unit", "text", "seconds"),
    [
        ("milliseconds", "881250949999", 881250949.999),
        ("seconds", "881250949.9", 881250949.9),
        ("iso", "2024-05-01", 1714521600),
        ("iso", "2024-05-01T12:00:00Z", 1714564800),
        ("iso", "2024-05-01 12:00:00.75", 1714564800.75),
        ("iso", "2024-05-01T12:00:00.123456789Z", 1714564800.123456),
        ("iso", "2024-05-01T12:00:00+02:00", 1714557600),
    ],
)
def test_times(tmp_path: Path, unit: str, text: str, seconds: float) -> None:
    rows = f"who,what,when,stars\na,b,{text},1\n"
    schema = write(
        tmp_path,
        rows,
        time={"column": "when", "unit": unit},
        labels={"like": {"column": "stars", "threshold": 4}},
        features={},
    )
    assert read_log(schema).interactions["timestamp"].tolist() == [seconds]
    mixed = rows + "a,c,2024-05-01T12:00:00Z,1\na,d,2024-05-01,1\n"
    if unit == "iso":  # some with an offset and some without
        (tmp_path / "log.csv").write_text(mixed)
        found = read_log(schema).interactions["timestamp"].tolist()
        assert found == [seconds, 1714564800, 1714521600]


def test_positives_only(tmp_path: Path) -> None:
    table = read_log(write(tmp_path, labels=None, negatives={"per_positive": 3, "seed": 7}))
    assert table.negatives == Negatives(3, "uniform", 7)
    assert table.tasks == (Task("interaction", 1.0, flag=True),)
    assert table.interactions["interaction"].tolist() == [1.0, 1.0, 1.0]


def test_a_feature_that_is_missing_everywhere(tmp_path: Path) -> None:
    text = "who,what,when,stars,price,device\na,b,1,1,,\na,c,2,1,,\n"
    features = {"price": {"kind": "numeric"}, "device": {}}
    labels = {"like": {"column": "stars", "threshold": 1}}
    table = read_log(write(tmp_path, text, labels=labels, features=features))
    assert len(table.interactions) == 2
    list(table.read())
    assert table.repairs == [
        f"{tmp_path / 'log.csv'}: column '{name}' is empty in all rows, so the field has only its "
        "unseen word"
        for name in ("price", "device")
    ]


VALUES = st.text(st.characters(codec="utf-8", exclude_characters="\n\r\x00"), max_size=5)


@given(rows=st.lists(st.lists(VALUES, min_size=2, max_size=2), min_size=1, max_size=6))
def test_both_parsers_read_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]]
) -> None:
    path = tmp_path_factory.getbasetemp() / "twins.csv"
    with path.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(
            [["a", "b", "c"], *[[*r, "."] for r in rows]]
        )
    blocks = list(text_blocks(path, ",", {"a": "word", "b": "text"}))
    raw = csv_blocks.Block(2, path.read_bytes().partition(b"\n")[2])
    slow = read_slowly(path, raw, ",", ["a", "b", "c"], {"a": "word", "b": "text"})
    for position, name in enumerate("ab"):
        fast = [value for block in blocks for value in block.columns[name].to_pylist()]
        assert fast == slow[name].to_pylist() == [row[position] for row in rows]
    assert np.concatenate([block.lines for block in blocks]).tolist() == list(
        range(2, len(rows) + 2)
    )


def test_a_schema_is_a_data_set(tmp_path: Path) -> None:
    schema = write(tmp_path)
    assert dataset(str(schema)) == OwnLog(schema)
    path = fetch(str(schema), tmp_path / "data")
    assert path == tmp_path / "log.csv"
    table = read(str(schema), path)
    check(table)
    assert table.name == "shop"
    assert not (tmp_path / "data").exists()
    with pytest.raises(ConfigError, match="cannot be read"):
        fetch(str(tmp_path / "none.yml"), tmp_path / "data")


def test_the_example_reads() -> None:
    table = read_log(Path(__file__).parents[3] / "examples" / "shop" / "shop.yaml")
    frame = table.interactions
    assert (frame["user"].nunique(), frame["item"].nunique()) == (40, 80)
    assert len(frame) > 1500
    assert 0.3 < (frame["liked"] >= 4).mean() < 0.7
    assert set(frame["item"]) <= set(table.items.index)
    assert table.repairs == []
