"""Mean ranks against a slow, obvious count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from benchmarks.suite_ranks import common_rows, mean_ranks, ranks_figure
from benchmarks.suite_tables import Table, read_tables
from tests.benchmarks.made_up import LOSSES, write_entry

OTHER = {**LOSSES, "metaselector": 0.555, "extra": 0.9}


@pytest.fixture
def tables(tmp_path: Path) -> list[Table]:
    write_entry(tmp_path / "one")
    write_entry(tmp_path / "two", OTHER, dataset="movietweetings")
    return read_tables(tmp_path, ("one", "two"))[0]


def test_only_common_rows_without_oracles_are_ranked(tables: list[Table]) -> None:
    assert set(common_rows(tables)) == LOSSES.keys() - {"oracle-user"}


def test_means_are_those_of_counting(tables: list[Table]) -> None:
    found = mean_ranks(tables, draws=50).set_index("model")["rank"]
    rows = common_rows(tables)
    for row in rows:
        ranks = [
            1 + sum(losses[other] < losses[row] for other in rows) for losses in (LOSSES, OTHER)
        ]
        assert found[row] == np.mean(ranks), row
    assert found["metaselector"] == 3  # 2 and 4
    assert found.sum() == sum(range(1, len(rows) + 1))


def test_intervals_hold_the_ranks_of_both_data_sets(tables: list[Table]) -> None:
    found = mean_ranks(tables, draws=200).set_index("model")
    assert found.loc["metaselector", ["low", "high"]].tolist() == [2, 4]
    assert found.loc["lr", ["low", "high"]].tolist() == [8, 8]  # last in both
    pd.testing.assert_frame_equal(found, mean_ranks(tables, draws=200).set_index("model"))


def test_seeds_vary_the_ranks_of_one_data_set(tmp_path: Path) -> None:
    write_entry(tmp_path / "one")
    path = tmp_path / "one" / "results.csv"
    results = pd.read_csv(path)
    turned = (results["seed"] == 1) & (results["model"] == "uniform")
    results.loc[turned, "logloss"] = 0.59  # 0.5695 and 0.59: worse than fm with both or seed 1
    results.to_csv(path, index=False)
    found = mean_ranks(read_tables(tmp_path, ("one",))[0], draws=400).set_index("model")
    assert found.loc["uniform", ["rank", "low", "high"]].tolist() == [6, 6, 7]


def test_support_sizes_of_a_data_set_count_as_one(tables: list[Table]) -> None:
    first, second = tables
    once = mean_ranks(tables, draws=20)["rank"].tolist()
    assert mean_ranks([first, first, first, second], draws=20)["rank"].tolist() == once


def test_the_figure_has_a_panel_for_each_group(tables: list[Table]) -> None:
    ranks = mean_ranks(tables, draws=20)
    figure = ranks_figure({"Known users": ranks, "New users": ranks.iloc[:3]})
    assert isinstance(figure, Figure)
    known, new = figure.axes
    assert [known.get_title(loc="left"), new.get_title(loc="left")] == ["Known users", "New users"]
    assert len(known.lines) == 2 * len(ranks)
    assert len(new.lines) == 6
