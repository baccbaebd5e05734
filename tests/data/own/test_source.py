"""Logs from JSON lines, several files, databases and queries: equal to the same log as CSV."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pandas as pd
import pytest
from typer.testing import CliRunner

from metaselector.cli import app
from metaselector.data.encoded.digests import read_digests
from metaselector.data.fetch import fetch
from metaselector.data.own.draft import draft
from metaselector.data.own.own_log import read_log
from metaselector.data.registry import read

from .conftest import HEADER, LOG, ROWS, check, problem, write

RATINGS = Path(__file__).parents[3] / "examples" / "shop"
PRIVATE = "line"
"""Lines count differently in files with a header."""


def in_database(folder: Path) -> None:
    with duckdb.connect(str(folder / "log.duckdb")) as connection:
        (folder / "raw.csv").write_text(LOG)
        connection.execute(
            f"create table log as from read_csv('{folder}/raw.csv', all_varchar = true)"
        )


def json_lines() -> str:
    names = HEADER.strip().split(",")
    rows = [
        ["ann", 'a "b", c', 881250949, 5, 1, 2.5, ["x", "y"], "phone", "?"],
        [4294967296123, 2, 1700000000.75, -1.5, None, None, None, None, "?"],
        ["ann", "2", 0, 4, False, "nan", ["y"], "phone", "?"],
    ]
    return "".join(json.dumps(dict(zip(names, row, strict=True))) + "\n" for row in rows)


def test_json_lines(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json_lines())
    check(read_log(write(tmp_path, None, interactions="log.jsonl")), first_line=1)


def test_json_lines_need_a_unit_and_name_their_lines(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json_lines().replace("881250949", '"noon"'))
    schema = write(tmp_path, None, interactions="log.jsonl")
    assert problem(schema).startswith("log.jsonl:1 (column when): 'noon' is not a finite number")
    schema = write(tmp_path, None, interactions="log.jsonl", time={"column": "when"})
    assert "time.unit: missing; set it to the unit in log.jsonl" in problem(schema)


def test_several_files(tmp_path: Path) -> None:
    for place, row in enumerate(ROWS):
        (tmp_path / f"part-{place}.csv").write_text(f"{HEADER}{row}\n")
    table = read_log(write(tmp_path, None, interactions="part-*.csv"))
    assert table.interactions["line"].tolist() == [2, 2, 2]
    together = read_log(write(tmp_path)).interactions
    pd.testing.assert_frame_equal(
        table.interactions.drop(columns=PRIVATE), together.drop(columns=PRIVATE)
    )


def test_a_query(tmp_path: Path) -> None:
    in_database(tmp_path)
    source = {"query": "SELECT * FROM log", "connection": "log.duckdb"}
    schema = write(tmp_path, None, interactions=source)
    check(read_log(schema), first_line=1)
    assert fetch(str(schema), tmp_path) == schema
    check(read(str(schema), schema), first_line=1)


def test_a_wrong_value_of_a_query(tmp_path: Path) -> None:
    in_database(tmp_path)
    text = "SELECT * REPLACE (if(who = 'ann', stars, 'many') AS stars) FROM log"
    schema = write(tmp_path, None, interactions={"query": text, "connection": "log.duckdb"})
    said = "shop.yaml (interactions.query):2 (column stars): 'many' is not a finite number"
    assert problem(schema).startswith(said)
    schema = write(tmp_path, None, interactions={"query": "SELECT 1 AS who"})
    said = "shop.yaml (interactions.query) (column what): there is no such column"
    assert problem(schema).startswith(said)


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"query": ""}, "shop.yaml: interactions.query: "),
        ({"connection": "a.duckdb"}, "shop.yaml: interactions.query: missing; add it"),
        ({"query": "SELECT 1", "conection": "a"}, "unknown key 'conection'; did you mean"),
        (7, "shop.yaml: interactions: should be text; put it in quotes (got 7)"),
        ("", "shop.yaml: interactions: "),
    ],
)
def test_wrong_sources(tmp_path: Path, source: Any, said: str) -> None:
    assert said in problem(write(tmp_path, None, interactions=source))


def test_side_files_from_a_query(tmp_path: Path) -> None:
    in_database(tmp_path)
    text = "SELECT DISTINCT what AS code, 'red' AS colour FROM log"
    side = {
        "file": {"query": text, "connection": "log.duckdb"},
        "key": "code",
        "features": {"colour": {}},
    }
    table = read_log(write(tmp_path, items=side))
    assert table.items["colour"].to_dict() == {'a "b", c': "red", "2": "red"}


def test_prepared_data_of_a_database_are_those_of_the_csv(tmp_path: Path) -> None:
    lines = (RATINGS / "shop.yaml").read_text()
    for name in ("ratings.csv", "items.csv"):
        (tmp_path / name).write_bytes((RATINGS / name).read_bytes())
    with duckdb.connect(str(tmp_path / "shop.duckdb")) as connection:
        for name in ("ratings", "items"):
            connection.execute(
                f"create table {name} as from read_csv('{tmp_path}/{name}.csv', all_varchar=true)"
            )
    queried = lines
    for name in ("ratings", "items"):
        source = f'{{query: "FROM {name}", connection: shop.duckdb}}'
        queried = queried.replace(f": {name}.csv\n", f": {source}\n")
    assert queried.count("connection: shop.duckdb") == 2
    found = []
    for name, text in {"files": lines, "query": queried}.items():
        folder = tmp_path / name
        folder.mkdir()
        (tmp_path / f"{name}.yaml").write_text(text.replace("version: 1", "version: 1\nname: shop"))
        command = ["data", "prepare", "--dataset", str(tmp_path / f"{name}.yaml")]
        result = CliRunner().invoke(app, [*command, "--run", str(folder / "run")])
        assert result.exit_code == 0, result.output
        found.append(read_digests(folder / "run" / "data"))
    assert found[0]
    assert found[0] == found[1]


def test_drafts(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(json_lines())
    text = draft(tmp_path / "log.jsonl")
    assert "log.jsonl" in text
    assert "tags: {kind: multivalued" in text
