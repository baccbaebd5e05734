"""Edited files of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.report.inputs import read_table

COLUMNS = ("seed", "model", "auc", "n_users")


@pytest.mark.parametrize(
    ("line", "column", "problem"),
    [
        ("0,,0.5,3", "model", "some lines have no model name"),
        ("0,lr,abc,3", "auc", "contains text"),
        ("0,lr,0.5,inf", "n_users", "values that are not whole numbers"),
        (",lr,0.5,3", "seed", "values that are not whole numbers"),
    ],
)
def test_what_no_run_writes(tmp_path: Path, line: str, column: str, problem: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"{','.join(COLUMNS)}\n0,fm,0.5,3\n{line}\n")
    with pytest.raises(DataError, match=rf"\(column {column}\): .*{problem}"):
        read_table(path, COLUMNS)


def test_columns_that_may_have_gaps(tmp_path: Path) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"{','.join(COLUMNS)}\n,lr,0.5,3\n")
    assert read_table(path, COLUMNS, gaps=["seed"])["seed"].isna().all()
    path.write_text(f"{','.join(COLUMNS)}\n,lr,0.5,3\nx,fm,0.5,3\n")
    with pytest.raises(DataError, match=r"\(column seed\): contains text"):
        read_table(path, COLUMNS, gaps=["seed"])


@pytest.mark.parametrize("lines", ["", "0,1,,3\n", "0,NA,0.5,3\n0,None,inf,3\n"])
def test_what_a_run_may_write(tmp_path: Path, lines: str) -> None:
    path = tmp_path / "results.csv"
    path.write_text(f"{','.join(COLUMNS)}\n{lines}")
    names = [line.split(",")[1] for line in lines.splitlines()]
    assert list(read_table(path, COLUMNS)["model"]) == names
