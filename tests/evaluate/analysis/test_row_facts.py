"""Facts of test rows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from metaselector.config import SplitConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.evaluate.analysis.row_facts import DAY, row_facts

SPLIT = SplitConfig()


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """Three users with 40, 3 and 20 rows, of some 4 a day."""
    rng = np.random.default_rng(0)
    world = planted_world(4, 20, 8, rng).dataset
    offsets, n = np.array([0, 40, 43, 63]), 63
    cells = {name: getattr(world, name)[:n] for name in ("task_labels", "cells", "history_sizes")}
    return replace(
        world,
        **cells,
        timestamps=np.concatenate([np.sort(rng.integers(10 * DAY, size=s)) for s in (40, 3, 20)]),
        source_rows=rng.permutation(n),
        user_offsets=offsets,
        user_names=("a", "b", "c"),
        items=rng.integers(5, size=n).astype(np.int32),
        item_cells=np.zeros((5, 0), dtype=np.int32),
    )


def slow(dataset: EncodedDataset) -> pd.DataFrame:
    """The same by loops."""
    lines = []
    in_train = [
        row
        for u in range(3)
        for row in range(dataset.user_offsets[u], dataset.user_offsets[u + 1])
        if row - dataset.user_offsets[u] < np.diff(dataset.user_offsets)[u] * 80 // 100
    ]
    for user, name in enumerate(dataset.user_names):
        first, stop = dataset.user_offsets[user : user + 2]
        train, valid = (first + (stop - first) * percent // 100 for percent in (80, 90))
        days = {time // DAY for time in dataset.timestamps[first:valid].tolist()}
        shares = [
            dataset.labels[a:b].mean() if b > a else np.nan
            for a, b in ((first, train), (train, valid))
        ]
        lines += [
            {
                "row": dataset.source_rows[row],
                "user": name,
                "history_rows": valid - first,
                "rows_per_active_day": (valid - first) / len(days),
                "drift": abs(shares[1] - shares[0]),
                "item_train_rows": sum(dataset.items[r] == dataset.items[row] for r in in_train),
            }
            for row in range(valid, stop)
        ]
    return pd.DataFrame(lines)


def test_facts_by_loops(dataset: EncodedDataset) -> None:
    found = row_facts(dataset, SPLIT)
    pd.testing.assert_frame_equal(found, slow(dataset), check_dtype=False)
    assert found["rows_per_active_day"].between(1, 40).all()
    assert found["drift"].isna().tolist() == (found["user"] == "b").tolist()  # no row in valid


def test_no_test_label_is_a_fact(dataset: EncodedDataset) -> None:
    found = row_facts(dataset, SPLIT)
    is_test = np.isin(dataset.source_rows, found["row"])
    turned = np.where(is_test, 1 - dataset.labels, dataset.labels)[:, None].astype(np.float32)
    pd.testing.assert_frame_equal(row_facts(replace(dataset, task_labels=turned), SPLIT), found)
    before = np.where(is_test, dataset.labels, 1)[:, None].astype(np.float32)
    other = row_facts(replace(dataset, task_labels=before), SPLIT)
    assert not other["drift"].equals(found["drift"])


def test_one_moment_is_one_day(dataset: EncodedDataset) -> None:
    still = replace(dataset, timestamps=np.zeros(len(dataset), dtype=np.int64))
    found = row_facts(still, SPLIT)
    assert (found["rows_per_active_day"] == found["history_rows"]).all()
