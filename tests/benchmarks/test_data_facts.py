"""What the data are like, against planted answers and a slow count."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from benchmarks.data_facts import COLUMNS, Counts, data_facts, drift, spread, user_counts
from metaselector.config import Config, load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run

USERS = 20_000


def drawn(before: np.ndarray, test: np.ndarray, rows: int = 12) -> Counts:
    """Counts of users whose true shares of positives are given."""
    generator = np.random.default_rng(0)
    n = np.full(len(before), float(rows))
    found = (generator.binomial(rows, share).astype(float) for share in (before, test))
    first, second = found
    return Counts(n, first, n, second)


def test_chance_alone_is_no_spread_and_no_drift() -> None:
    even = np.full(USERS, 0.6)
    assert spread(drawn(even, even)) < 0.02
    assert drift(drawn(even, even)) < 0.02


def test_planted_spread_and_drift_are_found() -> None:
    generator = np.random.default_rng(1)
    level = generator.uniform(0.3, 0.7, USERS)  # standard deviation 0.4 / sqrt(12)
    assert spread(drawn(level, level)) == pytest.approx(0.4 / np.sqrt(12), rel=0.05)
    turned = level + generator.choice([-0.2, 0.2], USERS)
    assert drift(drawn(level, turned)) == pytest.approx(0.2, rel=0.05)


def test_too_few_rows_tell_nothing() -> None:
    one = np.ones(3)
    assert np.isnan(drift(Counts(one, one, one, one)))
    assert np.isnan(spread(Counts(0 * one, 0 * one, one, one)))


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
