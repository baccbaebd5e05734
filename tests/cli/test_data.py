"""Data sets: described, and schemas drafted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from .conftest import Invoke, edit_line


def test_raw_data_is_described(invoke: Invoke, raw: Path) -> None:
    done = invoke("data", "describe", "--data", raw)
    assert done.code == 0, done.err
    assert done.err == ""
    for shown in ("movielens-100k", "1,200", "1997-11-20", "occupation", "writer (40)"):
        assert shown in done.out
    assert "warning: feature 'occupation' of users is constant" in done.out
    profile = json.loads(invoke("data", "describe", "--data", raw, "--json").out)
    assert (profile["rows"], profile["users"], profile["items"]) == (1200, 40, 25)
    assert profile["tasks"][0]["threshold"] == 4

    done = invoke("data", "describe", "--data", raw, "--set", "data.label_threshold=1")
    assert "warning: label 'rating' is positive in every row" in done.out


def test_a_failed_description_prints_nothing(invoke: Invoke, raw: Path) -> None:
    edit_line(raw, 4, "u3\ti7")
    done = invoke("data", "describe", "--data", raw, "--json")
    assert done.lone_error.startswith(f"{raw / 'ml-100k.inter'}:4")
    assert done.out == ""


LOG = "user_id,item_id,timestamp,rating\nann,1,1600000000,5\nbob,2,1600000001,1\n"


def test_a_schema_is_drafted(invoke: Invoke, tmp_path: Path) -> None:
    log, output = tmp_path / "log.csv", tmp_path / "shop.yaml"
    log.write_text(LOG)
    done = invoke("data", "schema", log)
    assert done.code == 0
    assert f'interactions: "{log}"' in done.out
    assert "labels:" in done.out
    assert invoke("data", "schema", log, "--output", output).out == f"{output}\n"
    assert "interactions: log.csv" in output.read_text().replace('"', "")
    before = output.read_bytes()
    error = invoke("data", "schema", log, "--output", output).lone_error
    assert error == f"{output}: already exists; remove it, or choose another --output"
    assert output.read_bytes() == before


def test_a_quiet_draft(invoke: Invoke, tmp_path: Path) -> None:
    log, output = tmp_path / "log.csv", tmp_path / "shop.yaml"
    log.write_text(LOG)
    done = invoke("data", "schema", log, "--output", output, "--quiet")
    assert done == (0, f"{output}\n", "")


@pytest.mark.parametrize("quiet", [False, True])
def test_quiet_fetching_draws_no_bars(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quiet: bool
) -> None:
    drawn = []

    def fetch(name: str, directory: Path, *, progress: bool = True) -> Path:
        drawn.append(progress)
        return directory / name

    monkeypatch.setattr("metaselector.data.fetch.fetch", fetch)
    option = ("--quiet",) if quiet else ()
    done = invoke("data", "fetch", "movielens-1m", "--data-directory", tmp_path, *option)
    assert done == (0, f"{tmp_path / 'movielens-1m'}\n", "")
    assert drawn == [not quiet]


def test_no_file_to_draft_from(invoke: Invoke, tmp_path: Path) -> None:
    error = invoke("data", "schema", tmp_path / "none.csv").lone_error
    assert error.startswith(f"{tmp_path / 'none.csv'}: file not found")


def test_a_wrong_schema(invoke: Invoke, tmp_path: Path) -> None:
    schema, run = tmp_path / "shop.yaml", tmp_path / "run"
    schema.write_text("version: 1\nusr: a\n")
    done = invoke("data", "prepare", "--dataset", schema, "--run", run)
    assert done.lone_error == f"{schema}: unknown key 'usr'; did you mean 'user'?"
    assert not run.exists()
