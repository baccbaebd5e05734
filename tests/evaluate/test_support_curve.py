"""The support curve: against metrics on rows that are really copied, and against the bootstrap."""

from __future__ import annotations

import math
from itertools import product
from typing import NamedTuple

import numpy as np
import pandas as pd
import pytest
from numpy.typing import NDArray

from metaselector.evaluate import bootstrap
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.intervals import expanded
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.metrics import auc, gauc
from metaselector.evaluate.support_curve import (
    COLUMNS,
    DIFFERENCE_COLUMNS,
    MODELS,
    SupportCurve,
    UserSums,
)

USERS, ROWS, RESAMPLES = 9, 60, 30
SIZES, SEEDS = (0, 5), (0, 1)


class World(NamedTuple):
    """Users and labels by number of support rows; predictions ``[N]`` by seed, model, number."""

    users: dict[int, NDArray[np.int64]]
    y: dict[int, NDArray[np.float64]]
    p: dict[tuple[int, str, int], NDArray[np.float64]]


@pytest.fixture(scope="module")
def world() -> World:
    """With 5 rows, the last two users have no later row; the last but one never has both labels."""
    rng = np.random.default_rng(0)
    users = {0: np.sort(rng.permutation(np.arange(ROWS) % USERS))}
    y = {0: (rng.random(ROWS) < 0.5).astype(np.float64)}
    y[0][users[0] == USERS - 2] = 1
    kept = users[0] < USERS - 2
    users[5], y[5] = users[0][kept], y[0][kept]
    keys = product(SEEDS, MODELS, SIZES)
    p = {key: rng.uniform(0.01, 0.99, len(users[key[2]])).round(1).clip(0.01) for key in keys}
    return World(users, y, p)


def curve_of(world: World, models: tuple[str, ...] = MODELS) -> SupportCurve:
    curve = SupportCurve(USERS + 3)  # some users have no rows at all
    for (seed, model, n), p in world.p.items():
        if model in models:
            y = world.y[n]
            curve.add(seed, model, n, world.users[n], row_logloss(y, p), y, p)
    return curve


def test_the_table_has_the_metrics(world: World) -> None:
    table = curve_of(world).table()
    assert tuple(table.columns) == COLUMNS
    assert len(table) == len(world.p)
    for line in table.itertuples():
        users, y, p = world.users[line.n], world.y[line.n], world.p[line.seed, line.model, line.n]
        assert line.logloss == pytest.approx(row_logloss(y, p).mean(), rel=1e-14)
        assert line.auc == auc(y, p)
        assert line.gauc == pytest.approx(gauc(y, p, users)[0], rel=1e-14)


def slow_differences(world: World, n: int, model: str, baseline: str, metric: str) -> list[float]:
    """Mean over seeds on all users, then on resamples whose users are copied one by one."""

    def score(seed: int, name: str, drawn: NDArray[np.int64]) -> float:
        users, y, p = world.users[n], world.y[n], world.p[seed, name, n]
        copies = [np.flatnonzero(users == user) for user in drawn]
        rows = np.concatenate(copies)
        if metric == "logloss":
            return float(row_logloss(y[rows], p[rows]).mean())
        of_copy = np.repeat(np.arange(len(drawn)), [len(each) for each in copies])
        return gauc(y[rows], p[rows], of_copy)[0]

    generator = np.random.default_rng(0)
    draws = [np.ones(USERS, dtype=np.int64)]
    draws += [generator.multinomial(USERS, np.full(USERS, 1 / USERS)) for _ in range(RESAMPLES)]
    repeated = [np.repeat(np.arange(USERS), times) for times in draws]
    return [
        float(np.mean([score(s, model, users) - score(s, baseline, users) for s in SEEDS]))
        for users in repeated
    ]


@pytest.mark.parametrize("block", [128, 4], ids=["at once", "in blocks"])
def test_intervals_are_those_of_copied_users(
    world: World, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bootstrap, "_TOGETHER", block)
    found = curve_of(world).differences(RESAMPLES)
    assert tuple(found.columns) == DIFFERENCE_COLUMNS
    assert len(found) == len(SIZES) * 2 * 5  # of each metric: 3 to one baseline, 2 to the other
    for line in found.itertuples():
        on_all, *resampled = slow_differences(world, line.n, line.model, line.baseline, line.metric)
        assert line.difference == pytest.approx(on_all, abs=1e-14)
        users, y = world.users[line.n], world.y[line.n]
        rows = np.bincount(users, minlength=USERS)
        positive = np.bincount(users, weights=y, minlength=USERS)
        if line.metric == "gauc":
            rows = np.where((positive > 0) & (positive < rows), rows, 0)
        tail = 100 * expanded(0.025, rows.sum() ** 2 / (rows**2).sum())
        low, high = np.percentile(resampled, [tail, 100 - tail])
        assert (line.low, line.high) == pytest.approx((low, high), abs=1e-14)
        assert line.value - line.baseline_value == pytest.approx(line.difference, abs=1e-14)


def test_agrees_with_the_bootstrap_of_the_results_table(world: World) -> None:
    n = 5
    predictions = pd.concat(
        pd.DataFrame(
            {"user": world.users[n], "row": np.arange(len(p)), "y": world.y[n], "p": p}
        ).assign(seed=seed, model=model, task="label")
        for (seed, model, size), p in world.p.items()
        if size == n
    )
    alone = World(
        {n: world.users[n]}, {n: world.y[n]}, {k: p for k, p in world.p.items() if k[2] == n}
    )
    scores = resample(predictions, ["logloss"], RESAMPLES, np.random.default_rng(0))["logloss"]
    found = curve_of(alone).differences(RESAMPLES)
    for line in found[found["metric"] == "logloss"].itertuples():
        expected = difference(scores, dict.fromkeys(SEEDS, (line.model, line.baseline)))
        assert (line.difference, line.low, line.high) == pytest.approx(expected[:3], abs=1e-14)


def test_models_that_a_run_lacks_are_left_out(world: World) -> None:
    found = curve_of(world, ("not-adapted", "metaselector")).differences(RESAMPLES)
    assert set(zip(found["model"], found["baseline"], strict=True)) == {
        ("metaselector", "not-adapted")
    }


def test_without_users_of_both_classes_there_is_no_gauc() -> None:
    users, y = np.array([0, 0, 1]), np.array([1.0, 1.0, 0.0])
    assert math.isnan(UserSums.of_areas(y, y / 2, users, 2).mean())
    curve = SupportCurve(2)
    for model, p in (("not-adapted", y / 2), ("metaselector", y)):
        curve.add(0, model, 0, users, np.ones(3), y, p)
    gauc_line = curve.differences(10).set_index("metric").loc["gauc"]
    assert gauc_line[["difference", "low", "high"]].isna().all()
