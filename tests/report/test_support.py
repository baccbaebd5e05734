"""The overview of a run on new users."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.report.figures.run import write_figures
from metaselector.report.support import read_support
from metaselector.report.tables import write_tables

MakeSupport = Callable[[list[int]], pd.DataFrame]


@pytest.fixture
def run_dir(tmp_path: Path, make_support: MakeSupport) -> Path:
    make_support([0]).to_csv(tmp_path / "support.csv", index=False)
    (tmp_path / "environment.json").write_text(json.dumps({"command": "metaselector"}))
    return tmp_path


def test_a_column_for_each_size(run_dir: Path) -> None:
    summary = read_support(run_dir)
    assert summary.name == "tiny, cold-start users"
    assert summary.titles == ["logloss 5", "logloss 20", "AUC 5", "AUC 20"]
    lines = {model: line for _, group in summary.groups for model, line in group}
    assert [cell.text for cell in lines["lr"]] == ["0.5950", "0.5800", "0.4000", "0.4000"]
    assert [cell.best for cell in lines["metaselector"]] == [True] * 4
    assert not any(cell.best for cell in lines["oracle-sample"])
    assert "same 1,234 rows of 7 users, the rows after a user's first 20" in summary.notes[1]


def test_a_copy_is_named(run_dir: Path) -> None:
    made_with = {"command": "x", "data_title": "Tiny (copy)", "data_limit": "It has no times."}
    (run_dir / "environment.json").write_text(json.dumps(made_with))
    summary = read_support(run_dir)
    assert (summary.name, summary.notes[0]) == ("Tiny (copy), cold-start users", "It has no times.")


def test_deviations_over_seeds(run_dir: Path, make_support: MakeSupport) -> None:
    make_support([0, 1]).to_csv(run_dir / "support.csv", index=False)
    summary = read_support(run_dir)
    (_, line), *_ = summary.groups[0][1]
    assert line[0].text == f"0.6000 ± {np.std([0.595, 0.605], ddof=1):.4f}"
    assert summary.notes[-1] == "Mean ± standard deviation over seeds."


def test_files_of_a_run(run_dir: Path) -> None:
    assert [path.name for path in write_tables(run_dir)] == ["summary.md", "summary.tex"]
    assert "| lr | 0.5950 |" in (run_dir / "summary.md").read_text()
    assert write_figures(run_dir) == [run_dir / "figures" / "support_sizes.png"]


def test_a_missing_column_is_named(run_dir: Path, make_support: MakeSupport) -> None:
    make_support([0]).drop(columns="common_auc").to_csv(run_dir / "support.csv", index=False)
    with pytest.raises(DataError, match="common_auc"):
        read_support(run_dir)


def test_a_bound_without_an_auc_has_empty_cells_and_is_never_best(
    tmp_path: Path, make_support: Callable[[list[int]], pd.DataFrame]
) -> None:
    support = make_support([0])
    bound = support[support["model"] == "lr"].assign(
        model="headroom", common_auc=float("nan"), common_logloss=0.1
    )
    pd.concat([support, bound]).to_csv(tmp_path / "support.csv", index=False)
    (tmp_path / "environment.json").write_text('{"command": "metaselector"}')
    group, lines = read_support(tmp_path).groups[-1]
    assert group == "oracles"
    assert [tuple(cell) for cell in dict(lines)["headroom"]] == [
        ("0.1000", False), ("0.1000", False), ("", False), ("", False),
    ]  # fmt: skip
