"""The global protocol on the command line: from raw data to tables, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.arrivals import world, write

from .conftest import Invoke

DATES = "split.dates=[1998-01-01, 1998-03-01, 1998-04-01]"


@pytest.fixture
def arriving(tmp_path: Path) -> Path:
    return write(tmp_path / "arriving", world())


@pytest.mark.slow
def test_from_raw_data_to_the_tables_of_known_and_new_users(
    invoke: Invoke, arriving: Path, settings: Path, tmp_path: Path
) -> None:
    run, options = tmp_path / "run", ("--protocol", "global", "--set", DATES)
    done = invoke("reproduce", "--run", run, "--data", arriving, "--config", settings, *options)
    assert done.code == 0, done.err
    assert "movielens-100k, global-date" in done.out
    for name in ("known", "new"):
        assert f"global-date-{name}" in (run / name / "summary.md").read_text()
        assert str(run / name) in done.out
    assert invoke("evaluate", "--run", run).code == 0
    assert invoke("report", run).code == 0
    assert (run / "report.html").exists()


def test_preparation_says_when_windows_end_and_who_is_in_them(
    invoke: Invoke, arriving: Path, tmp_path: Path
) -> None:
    options = ("--protocol", "global", "--set", DATES)
    done = invoke("data", "prepare", "--run", tmp_path / "run", "--data", arriving, *options)
    assert done.code == 0, done.err
    notes = " ".join(done.err.split())
    assert "early ends at 1998-01-01T00:00:00Z" in notes
    assert "valid at 1998-04-01T00:00:00Z" in notes
    table = world()
    start, end = 891_388_800, table["time"].max()  # 1 April 1998
    first = table.groupby("user")["time"].agg(["min", "max"])
    tested = first[(first["max"] >= start) & (first["max"] <= end)]
    new = int((tested["min"] >= start).sum())
    assert (
        f"the test has {len(tested) - new} known users and {new} whose first row lies in its "
        f"window; {60 - len(tested)} of 60 users have no row in it and are left out"
    ) in notes


def test_describe_shows_that_nothing_is_learned_from_later(invoke: Invoke, arriving: Path) -> None:
    done = invoke("data", "describe", "--data", arriving, "--set", "protocol=global")
    assert "0.00 % of the training rows are later than a test row" in " ".join(
        done.out.replace("│", " ").split()
    )


def test_ranks_in_place_of_times_are_refused_in_one_line(invoke: Invoke, tmp_path: Path) -> None:
    rows = [f"u{n % 5},i{n % 7},{n % 2},{n}" for n in range(200)]
    (tmp_path / "log.csv").write_text("\n".join(["user,item,click,rank", *rows]) + "\n")
    schema = tmp_path / "log.yaml"
    schema.write_text(
        "version: 1\ninteractions: log.csv\nuser: user\nitem: item\n"
        "time: {column: rank, unit: seconds}\nlabels: {click: {column: click}}\n"
    )
    options = ("--dataset", schema, "--protocol", "global", "--run", tmp_path / "run")
    error = invoke("data", "prepare", *options).lone_error
    assert error.startswith(f"{tmp_path / 'log.csv'} (column rank): protocol=global splits")
    assert error.endswith("look like ranks; provide real times, or use protocol=warm or cold")
