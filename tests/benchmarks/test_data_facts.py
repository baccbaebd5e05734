"""What the data are like, against a slow count and the description of the raw log."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data_facts import COLUMNS, data_facts, user_counts
from metaselector.config import Config, load_config
from metaselector.data.profile.describe import describe
from metaselector.data.registry import read
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run


@pytest.mark.parametrize("protocol", ["warm", "cold", "global"])
def test_counts_are_those_of_the_test_rows(
    write_world: Callable[[Path], Path], tmp_path: Path, protocol: str
) -> None:
    cold = {"support_sizes": [3, 6]}
    config: Config = load_config(changes={"protocol": protocol, "cold": cold})
    run = Run(tmp_path / "run", config)
    prepare_run(run, write_world(tmp_path / "raw"), tmp_path)
    facts = data_facts(run)
    assert list(facts.columns) == list(COLUMNS)
    labels, offsets = run.dataset.labels, run.dataset.user_offsets
    for (_, line), split in zip(facts.iterrows(), run.protocol.evaluation_splits, strict=True):
        counts = user_counts(run, split, 0)
        before, test, positives = [], [], 0.0
        for user in np.unique(split.test.users):
            rows = np.sort(split.test.query[split.test.users == user].ravel())
            rows = rows[rows >= 0]
            before.append(rows[0] - offsets[user])
            test.append(len(rows))
            positives += labels[rows].sum()
        assert counts.before.tolist() == before
        assert counts.test.tolist() == test
        assert line["protocol"] == split.name
        assert line["users"] == len(before)
        assert line["rows_before"] == np.median(before)
        assert line["positives_test"] == pytest.approx(positives / sum(test))


@pytest.mark.parametrize("protocol", ["warm", "global"])
def test_the_raw_log_has_the_same_spread_and_drift(
    write_world: Callable[[Path], Path], tmp_path: Path, protocol: str
) -> None:
    config: Config = load_config(changes={"protocol": protocol})
    raw, run = write_world(tmp_path / "raw"), Run(tmp_path / "run", config)
    prepare_run(run, raw, tmp_path)
    facts = data_facts(run).iloc[0]
    profile = describe(read(config.dataset, raw), 4.0, by_date=config.by_date)
    (found,) = profile.tasks
    assert facts["drift"] == pytest.approx(found.drift, abs=1e-12)
    assert found.window_rates.test is not None
    if protocol == "warm":  # otherwise the table counts users with test rows only
        assert facts["spread"] == pytest.approx(found.spread, abs=1e-12)
        assert facts["positives_test"] == pytest.approx(found.window_rates.test, abs=1e-12)
        assert profile.users_by_rows.users == facts["users"]
