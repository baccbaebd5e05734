"""Scores that a file has by user and item."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import ConfigError, DataError
from metaselector.config import BaseModelConfig, Config, ScoresConfig, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.microseconds import as_seconds
from metaselector.data.planted import planted_world
from metaselector.models.precomputed import with_scores
from metaselector.models.score_files import read_scores
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run

ITEMS = ("a", "b", "01", "1")
"""The last two are the same number, and not the same item."""


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """Its rows stand in the file in another order, and pairs come again, within a second too."""
    generator = np.random.default_rng(0)
    world = planted_world(2, 10, 4, generator).dataset
    rows = generator.permutation(len(world))
    return replace(
        world,
        source_rows=rows,
        items=generator.integers(4, size=len(world), dtype=np.int32),
        timestamps=world.timestamps // 8,
    )


@pytest.fixture
def table(dataset: EncodedDataset) -> pd.DataFrame:
    """A line for each row of the data."""
    return pd.DataFrame(
        {
            "row": dataset.source_rows,
            "user": np.asarray(dataset.user_names)[dataset.users],
            "item": np.asarray(ITEMS)[dataset.items],
            "time": as_seconds(dataset.timestamps),
            "score": np.random.default_rng(1).random(len(dataset)),
        }
    )


def written(table: pd.DataFrame, path: Path, **settings: Any) -> ScoresConfig:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False)
    return ScoresConfig(file=str(path), **settings)


def read(dataset: EncodedDataset, settings: ScoresConfig) -> np.ndarray:
    return read_scores(dataset, settings, Path(settings.file), ITEMS)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_by_user_item_and_time_as_by_row(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    by_row = read(dataset, written(table[["row", "score"]], tmp_path / "rows.csv"))
    shuffled = table.drop(columns="row").sample(frac=1, random_state=0)
    path = tmp_path / f"pairs{suffix}"
    found = read(dataset, written(shuffled, path, by=["user", "item", "time"]))
    assert np.array_equal(found, by_row)


def test_all_rows_of_a_pair_have_its_score(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    """The file says more pairs than the data has."""
    means = table.groupby(["user", "item"])["score"].mean()
    others = pd.DataFrame({"user": ["new"], "item": ["a"], "score": [0.5]})
    given = pd.concat([others, means.reset_index()])
    found = read(dataset, written(given, tmp_path / "pairs.csv", by=["item", "user"]))
    expected = table.groupby(["user", "item"])["score"].transform("mean").to_numpy()
    assert table.duplicated(["user", "item"]).any()
    assert {*table["item"]} == {*ITEMS}
    np.testing.assert_allclose(1 / (1 + np.exp(-found)), expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop(columns="item"), "no column 'item'"),
        (lambda t: t.assign(time="now"), r"\(column time\): has values that are not numbers"),
        (lambda t: t.assign(time=t["time"] + 1e11 * (t.index == 3)), r"csv:5: .* not in seconds"),
        (
            lambda t: pd.concat([t, t[3:4]]),
            r"csv:42: user \d, item \w+, time .* occurs twice",
        ),
        (lambda t: t.assign(score=t["score"].where(t.index != 3)), r"csv:5: .* no finite score"),
        (lambda t: t[t["row"] != 3], r"1 of 40 rows of the data .* row 3, user \d, item \w+, time"),
        (lambda t: t.assign(user=t["user"] + "x"), "40 of 40 rows of the data have no score"),
        (lambda t: t.assign(score=t["score"] + 1), "which are not probabilities"),
    ],
)
def test_what_is_wrong_with_a_file(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path, change: Any, problem: str
) -> None:
    settings = written(change(table), tmp_path / "scores.csv", by=["user", "item", "time"])
    with pytest.raises(DataError, match=problem):
        read(dataset, settings)


def test_several_lines_of_a_pair_need_the_time(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = written(table, tmp_path / "scores.csv", by=["user", "item"])
    line = int(np.flatnonzero(table.duplicated(["user", "item"]))[0]) + 2
    with pytest.raises(DataError, match=rf"csv:{line}: .* keep one line, or join by time too"):
        read(dataset, settings)
    with pytest.raises(DataError, match="the data has no items; join by row"):
        read_scores(dataset, settings, tmp_path / "scores.csv")


def test_what_a_score_is_of() -> None:
    with pytest.raises(ConfigError, match=r"a\.scores\.by: .*\[user, item\] or"):
        load_config(overrides=["base_models.a={scores: {file: x, by: [user]}}"])


def test_sampled_negatives_may_have_scores_by_pair(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    sampled = replace(dataset, source_rows=dataset.source_rows // 2)
    settings = written(table, tmp_path / "scores.csv", by=["user", "item", "time"])
    models = {"theirs": BaseModelConfig(scores=settings)}
    found = with_scores(sampled, models, items=lambda: ITEMS).scores
    assert found is not None
    assert np.array_equal(found[:, 0], read(dataset, settings))


def test_a_run_knows_its_items(write_world: Callable[..., Path], tmp_path: Path) -> None:
    raw = write_world(tmp_path / "raw")
    log = pd.read_csv(raw / "ml-100k.inter", sep="\t")
    table = pd.DataFrame(
        {
            "row": np.arange(len(log)),
            "user": log["user_id:token"],
            "item": log["item_id:token"],
            "time": log["timestamp:float"].astype(int),
            "score": np.random.default_rng(0).random(len(log)),
        }
    )
    by_row = written(table, tmp_path / "rows.csv")
    by_pair = written(table, tmp_path / "pairs.csv", by=["user", "item", "time"])
    models = {"a": BaseModelConfig(scores=by_row), "b": BaseModelConfig(scores=by_pair)}
    run = Run(tmp_path / "run", Config(base_models=models))
    prepare_run(run, raw, tmp_path / "data")
    scores = run.dataset.scores
    assert scores is not None
    assert np.array_equal(scores[:, :3], scores[:, 3:])
