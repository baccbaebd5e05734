"""Queries: what they read, and what they must not reach."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import duckdb
import pytest

from metaselector.common.errors import DataError
from metaselector.data.raw import query
from metaselector.data.raw.query import RawQuery

LABEL = Path("shop.yaml (interactions.query)")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a database and a file, beside a file that is not in it."""
    inside = tmp_path / "it's inside"
    inside.mkdir()
    (tmp_path / "outside.csv").write_text("a\n1\n")
    (inside / "in.csv").write_text("a,b\n1,x\n2,y\n")
    with duckdb.connect(str(inside / "shop.duckdb")) as connection:
        connection.execute(
            "create table clicks as select range as u, 'i' || range as i from range(10)"
        )
    return inside


def read(folder: Path, text: str, **options: Any) -> tuple[list[int], dict[str, list[Any]]]:
    source = RawQuery(LABEL, text, folder, **options)
    lines: list[int] = []
    found: dict[str, list[Any]] = {name: [] for name in source.header}
    for block in source.blocks(dict.fromkeys(source.header, "text")):
        lines += block.lines.tolist()
        for name in found:
            found[name] += block.columns[name].to_pylist()
    return lines, found


def test_tables_of_a_database(folder: Path) -> None:
    text = "SELECT u, i FROM clicks WHERE u > 6 ORDER BY u DESC;"
    lines, found = read(folder, text, connection="shop.duckdb")
    assert (lines, found) == ([1, 2, 3], {"u": [9, 8, 7], "i": ["i9", "i8", "i7"]})


def test_files_below_the_folder(folder: Path) -> None:
    lines, found = read(folder, "SELECT b, a FROM '{folder}/in.csv'")
    assert (lines, found) == ([1, 2], {"b": ["x", "y"], "a": [1, 2]})


def test_a_database_joined_with_a_file(folder: Path) -> None:
    text = "SELECT i, b FROM clicks JOIN '{folder}/in.csv' ON a = u ORDER BY a"
    assert read(folder, text, connection="shop.duckdb")[1] == {"i": ["i1", "i2"], "b": ["x", "y"]}


def test_in_blocks(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(query, "_BLOCK_ROWS", 2**11)
    text = "SELECT range AS n FROM range(10000)"
    blocks = list(RawQuery(LABEL, text, folder).blocks({"n": "number"}))
    assert len(blocks) > 1
    assert [n for block in blocks for n in block.columns["n"].to_pylist()] == list(range(10_000))
    assert [line for block in blocks for line in block.lines] == list(range(1, 10_001))


@pytest.mark.parametrize(
    "text",
    [
        "SELECT * FROM '{folder}/../outside.csv'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM 'https://example.com/a.csv'",
    ],
)
def test_other_files_are_out_of_reach(folder: Path, text: str) -> None:
    with pytest.raises(DataError, match=r"shop\.yaml \(interactions\.query\): "):
        read(folder, text, connection="shop.duckdb")


@pytest.mark.parametrize(
    "text",
    [
        "COPY clicks TO '{folder}/out.csv'",
        "CREATE TABLE more AS SELECT 1",
        "ATTACH '{folder}/new.duckdb'",
        "SELECT 1 AS a; SELECT 2 AS a",
        "SET threads = 4",
        "INSTALL excel",
        "",
    ],
)
def test_only_a_select(folder: Path, text: str) -> None:
    before = sorted(folder.iterdir())
    with pytest.raises(DataError, match="is not one query; write a single SELECT"):
        read(folder, text, connection="shop.duckdb")
    assert sorted(folder.iterdir()) == before


def test_variables_of_the_program_are_no_tables(folder: Path) -> None:
    import pandas as pd

    secret = pd.DataFrame({"a": [1]})
    with pytest.raises(DataError, match="Table with name secret does not exist"):
        read(folder, "SELECT * FROM secret")
    assert len(secret) == 1


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        ("SELEC 1", {}, "the query fails (Parser Error: syntax error"),
        ("SELECT nothing FROM clicks", {"connection": "shop.duckdb"}, "the query fails (Binder"),
        ("SELECT i::int AS i FROM clicks", {"connection": "shop.duckdb"}, "Could not convert"),
        ("SELECT 1 AS a, 2 AS a", {}, "(column a): two columns have this name; rename one"),
        (
            "SELECT 1 AS a",
            {"connection": "no.duckdb"},
            "no such database; give a file, or postgres",
        ),
        ("SELECT 1 AS a", {"connection": "in.csv"}, "is not a database of DuckDB or SQLite"),
    ],
)
def test_what_is_wrong(folder: Path, text: str, options: dict[str, str], said: str) -> None:
    with pytest.raises(DataError) as error:
        read(folder, text, **options)
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_extensions_that_are_not_installed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(folder))  # where DuckDB looks for extensions
    (folder / "shop.sqlite").write_bytes(b"SQLite format 3\x00" + bytes(100))
    for options, extension in (
        ({"connection": "shop.sqlite"}, "sqlite"),
        ({"connection": "postgres"}, "postgres"),
        ({"extension": "excel"}, "excel"),
    ):
        with pytest.raises(DataError) as error:
            read(folder, "SELECT 1 AS a", **options)
        assert f"needs DuckDB's extension {extension}, which is not installed" in str(error.value)
        assert f"install_extension('{extension}')" in str(error.value)


def test_what_does_not_fit_into_memory_goes_to_files_that_are_removed(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spilled = tmp_path / "spilled"
    spilled.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(spilled))
    monkeypatch.setattr("metaselector.data.raw.engine.MEMORY", "40MB")
    text = "SELECT range AS n, repeat('x', 60) || range AS t FROM range(1000000) ORDER BY hash(t)"
    source = RawQuery(LABEL, text, folder)
    blocks = source.blocks({"n": "number"})
    rows = len(next(blocks).lines)
    assert list(spilled.iterdir())
    rows += sum(len(block.lines) for block in blocks)
    assert rows == 1_000_000
    assert not list(spilled.iterdir())
