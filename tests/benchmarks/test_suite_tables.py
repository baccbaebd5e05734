"""The join of all tables has the numbers of the tables' own files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.suite_entries import ENTRIES
from benchmarks.suite_tables import (
    COLUMNS,
    NAMES,
    differences_of,
    metric_name,
    protocol_of,
    read_tables,
    summary_frame,
)
from metaselector.common.errors import DataError
from tests.benchmarks.made_up import LOSSES, write_entry, write_environment, write_table

RESULTS = Path(__file__).parents[2] / "benchmarks" / "results"


def test_names_are_distinct_and_configurations_exist() -> None:
    assert len(set(NAMES)) == len(NAMES)
    configs = RESULTS.parent / "configs"
    missing = {entry.config for entry in ENTRIES if not (configs / entry.config).exists()}
    assert missing <= {"trivago.yaml"}


def test_times_that_are_not_real_are_not_split_at_a_date() -> None:
    assert not [entry for entry in ENTRIES if entry.name == "movielens-1m-global"]
    assert {entry.protocol for entry in ENTRIES if entry.dataset == "movietweetings"} == {
        "warm",
        "global",
        "cold",
    }


def test_the_columns_are_those_asked_for() -> None:
    assert ", ".join(COLUMNS) == (
        "dataset, protocol, model, metric, seeds, mean, sd, difference, low, high, holm_p"
    )


def test_protocols_and_metrics_have_their_names() -> None:
    splits = ("warm-chronological", "cold-40", "global-date-known", "global-date-new")
    assert [protocol_of(split) for split in splits] == [
        "warm",
        "cold-40",
        "global-known",
        "global-new",
    ]
    assert [metric_name(name) for name in ("ndcg_10", "list_ndcg_5", "mrr")] == [
        "ndcg@10",
        "list_ndcg@5",
        "mrr",
    ]


def test_a_line_for_each_data_set_protocol_model_and_metric(tmp_path: Path) -> None:
    write_entry(tmp_path / "one")
    for size in (5, 10):
        write_table(tmp_path / "two" / f"support-{size}", split=f"cold-{size}")
    write_environment(tmp_path / "two")
    tables, notes = read_tables(tmp_path, ("one", "two", "three"))
    assert not notes
    found = summary_frame(tables)
    assert list(found.columns) == list(COLUMNS)
    assert list(dict.fromkeys(found["protocol"])) == ["warm", "cold-5", "cold-10"]
    keys = ["dataset", "protocol", "model", "metric"]
    assert not found.duplicated(keys).any()
    assert len(found) == 3 * (len(LOSSES) * 5 + 1)  # headroom has a logloss only
    assert found[["mean", "seeds"]].notna().all(axis=None)
    line = found.set_index(keys).loc[("movielens-100k", "warm", "lr", "logloss")]
    assert line["mean"] == pytest.approx(0.60)
    assert line["sd"] == pytest.approx(0.001 / np.sqrt(2))
    assert line["difference"] == pytest.approx(0.52 - 0.60)
    assert (line["low"], line["high"]) == pytest.approx((-0.081, -0.079))
    assert line["holm_p"] == 0.01
    own = found[found["model"].isin(["metaselector", "oracle-user", "headroom"])]
    assert own[["difference", "low", "high", "holm_p"]].isna().all(axis=None)


def test_tasks_are_told_apart(tmp_path: Path) -> None:
    for task in ("watched", "liked"):
        write_table(tmp_path / "one" / f"task-{task}")
    write_environment(tmp_path / "one")
    tables, _ = read_tables(tmp_path, ("one",))
    assert [table.dataset for table in tables] == ["movielens-100k/liked", "movielens-100k/watched"]


def test_copies_say_what_they_are(tmp_path: Path) -> None:
    write_table(tmp_path / "one")
    write_environment(tmp_path / "one", data_title="A copy (guessed)", data_limit="Not official.")
    ((table,), _) = read_tables(tmp_path, ("one",))
    assert (table.title, table.limit) == ("A copy (guessed)", "Not official.")


def test_tables_of_earlier_versions_are_left_out_and_named(tmp_path: Path) -> None:
    write_entry(tmp_path / "old", {m: v for m, v in LOSSES.items() if m != "user-finetuned-plain"})
    tables, (note,) = read_tables(tmp_path, ("old",))
    assert not tables
    assert "movielens-100k, warm: left out" in note
    assert "user-finetuned-plain" in note


def test_a_damaged_table_is_named(tmp_path: Path) -> None:
    write_entry(tmp_path / "one")
    (tmp_path / "one" / "differences.csv").write_text("family\n")
    with pytest.raises(DataError, match=r"differences\.csv"):
        read_tables(tmp_path, ("one",))


def test_committed_numbers_equal_those_of_the_tables_files() -> None:
    """Read again from the committed files, without the reader of the suite."""
    joined = pd.read_csv(RESULTS / "suite" / "summary.csv")
    tables, _ = read_tables(RESULTS)
    assert list(joined.columns) == list(COLUMNS)
    assert len(joined) == len(summary_frame(tables))
    keys = ["dataset", "protocol", "model", "metric"]
    by_key = joined.set_index(keys)
    assert by_key.index.is_unique
    for table in tables:
        for column, metric in {"logloss": "logloss", "gauc": "gauc", "ndcg_10": "ndcg@10"}.items():
            for model, values in table.results.groupby("model")[column]:
                if values.isna().all():
                    continue
                line = by_key.loc[(table.dataset, table.protocol, model, metric)]
                assert line["mean"] == pytest.approx(np.mean(values), rel=1e-5)
                assert line["seeds"] == len(values)
                assert line["sd"] == pytest.approx(np.std(values, ddof=1), rel=1e-5, nan_ok=True)
        own = table.differences.query("family == 'metaselector' and metric == 'logloss'")
        assert len(own) == len(differences_of(table).xs("logloss", level="metric"))
        for _, each in own.iterrows():
            line = by_key.loc[(table.dataset, table.protocol, each["baseline"], "logloss")]
            named = ("difference", "low", "high")
            assert line[list(named)].tolist() == pytest.approx(
                [each[name] for name in named], rel=1e-5, abs=1e-12
            )
            assert line["holm_p"] == pytest.approx(each["p_holm"], rel=1e-5)
