"""Headroom finds the truth in simulated worlds; order and names do not matter; bad inputs."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import UserError
from metaselector.evaluate.headroom import Figure, headroom
from metaselector.evaluate.variation import contrasts, moments, parts, selection_gain, user_sums

MEANS = np.array([0.5, 0.51, 0.52])


def _world(
    seed: int, between: float, *, users: int = 400, tail: int | None = None, rows: float = 8
) -> tuple[np.ndarray, np.ndarray]:
    """Losses ``[N, 3]`` with noise of variance 0.09, and users ``[N]``."""
    rng = np.random.default_rng(seed)
    of = np.repeat(np.arange(users), rng.geometric(1 / rows, size=users))
    shape = (len(of), 3)
    noise = rng.normal(size=shape) if tail is None else rng.standard_t(tail, shape) / 3**0.5
    return MEANS + between * rng.normal(size=(users, 3))[of] + 0.3 * noise, of


def _named(found: list[Figure], name: str, n: int | None = None) -> Figure:
    return next(figure for figure in found if figure.name == name and figure.n == n)


def _measure(losses: Any, users: Any, **options: Any) -> list[Figure]:
    options = {"n_resamples": 60, "rows": [5], "splits": 20, "permutations": 39} | options
    return headroom(losses, users, np.random.default_rng(0), **options)


def _truth(between: float) -> dict[str, float]:
    """True gains: with all knowledge, and with the posterior means of five rows."""
    rng = np.random.default_rng(99)
    b = between * rng.normal(size=(400_000, 3))
    trust = between**2 / (between**2 + 0.09 / 5)
    seen = MEANS + trust * (b + 0.3 / 5**0.5 * rng.normal(size=b.shape))
    behind = np.take_along_axis(MEANS + b, seen.argmin(axis=1)[:, None], axis=1).mean()
    return {
        "perfect-knowledge": MEANS.min() - (MEANS + b).min(axis=1).mean(),
        "evidence": MEANS.min() - behind,
    }


@pytest.mark.parametrize(
    "world",
    [
        {"between": 0.0},
        {"between": 0.1},
        {"between": 0.1, "tail": 3},
        {"between": 0.1, "rows": 2, "users": 1000},
    ],
    ids=["users do not differ", "users differ", "heavy tails", "few rows"],
)
def test_figures_are_unbiased_and_intervals_cover(world: dict[str, Any]) -> None:
    truth, repeats = _truth(world["between"]), 30
    found = [_measure(*_world(seed, **world)) for seed in range(repeats)]
    for name, n in ("perfect-knowledge", None), ("evidence", 5):
        figures = [_named(each, name, n) for each in found]
        values = np.array([figure.value for figure in figures])
        error = values.std(ddof=1) / repeats**0.5
        assert abs(values.mean() - truth[name]) < 3 * error + 0.003
        covered = [figure.low <= truth[name] + 1e-9 <= figure.high + 2e-9 for figure in figures]
        assert sum(covered) >= 0.8 * repeats  # 95 % are expected; 24 of 30 has p < 0.003


def test_the_oracle_does_not_beat_chance_where_users_do_not_differ() -> None:
    p = [_named(_measure(*_world(seed, 0.0)), "chance-p").value for seed in range(30)]
    assert np.mean(np.array(p) <= 0.05) <= 0.2
    assert np.mean(p) == pytest.approx(0.5, abs=0.2)


def test_the_oracle_beats_chance_where_users_differ() -> None:
    found = _measure(*_world(0, 0.2))
    oracle, chance = _named(found, "oracle"), _named(found, "chance")
    assert chance.low < chance.value < chance.high < oracle.value
    assert _named(found, "chance-p").value == 1 / 40
    half = _named(found, "split-half")
    assert 0 < half.low < half.value < half.high < oracle.value


def test_evidence_grows_to_perfect_knowledge() -> None:
    found = _measure(*_world(1, 0.1), rows=[1, 10, 100, 10**7])
    gains = [_named(found, "evidence", n).value for n in (1, 10, 100, 10**7)]
    assert gains == sorted(gains)
    assert gains[-1] == pytest.approx(_named(found, "perfect-knowledge").value, rel=1e-3)


def test_rows_and_names_of_users_may_have_any_order() -> None:
    losses, users = _world(2, 0.1, users=50)
    order = np.random.default_rng(1).permutation(len(losses))
    names = np.array([f"user {user * 7 % 50}" for user in users], dtype=object)
    assert repr(_measure(losses, users)) == repr(_measure(losses[order], names[order]))


def test_models_may_have_any_order() -> None:
    losses, users = _world(3, 0.1)
    found, turned = _measure(losses, users), _measure(losses[:, [2, 0, 1]], users)
    for name in ("best-single", "oracle", "between-share"):
        assert _named(turned, name).value == pytest.approx(_named(found, name).value)
    expected = _named(found, "perfect-knowledge").value
    assert _named(turned, "perfect-knowledge").value == pytest.approx(expected, rel=0.02)


def test_a_model_that_is_never_better_adds_nothing() -> None:
    losses, users = _world(4, 0.1)
    losses[:, 2] = losses[:, 1] + 5
    added = {f.models: f.value for f in _measure(losses, users) if f.name == "added"}
    assert added[2,] == pytest.approx(0, abs=1e-3)  # one side is simulated
    assert added[0,] > 0.01


def test_one_model_leaves_nothing_to_choose() -> None:
    losses, users = _world(5, 0.1)
    found = _measure(losses[:, :1], users)
    assert _named(found, "best-single").value == pytest.approx(losses[:, 0].mean())
    for name in ("oracle", "split-half", "perfect-knowledge", "between-share"):
        assert _named(found, name).value == pytest.approx(0, abs=1e-12)
    assert _named(found, "evidence", 5).value == 0
    assert _named(found, "chance-p").value == 1


def test_two_models_are_exact() -> None:
    mean, spread = np.array([[0.02]]), np.array([[[0.01]]])
    exact = selection_gain(mean, spread, contrasts(2), np.empty((0, 1)))
    draws = np.random.default_rng(0).normal(size=(1_000_000, 1))
    losses = (mean + 0.1 * draws) @ contrasts(2).T
    simulated = (mean @ contrasts(2).T).min() - losses.min(axis=1).mean()
    assert exact == pytest.approx(simulated, abs=5e-4)


def test_moments_by_hand() -> None:
    # Rows 1, 3 and 5, 9, 10: means 2 and 8, variances 2 and 7; m = 5.6 and N = 5.
    users = user_sums(np.array([[1.0], [3.0], [5.0], [9.0], [10.0]]), np.array([0, 0, 1, 1, 1]))
    found = moments(users, np.ones((1, 2)))
    squares = 2 * 3.6**2 + 3 * 2.4**2
    between = (squares - 0.6 * 2 - 0.4 * 7) / (5 - 13 / 5)
    assert found.mean.item() == pytest.approx(5.6)
    assert found.between.item() == pytest.approx(between)
    assert found.within.item() == pytest.approx((2 * 2 + 3 * 7) / 5)


def test_a_weight_is_a_number_of_copies() -> None:
    losses, users = _world(6, 0.1, users=3)
    counts = np.array([2, 1, 3])
    weighted = moments(user_sums(losses, users), counts[None].astype(np.float64))
    copies = [losses[users == user] for user in np.repeat(np.arange(3), counts)]
    codes = np.repeat(np.arange(6), [len(rows) for rows in copies])
    copied = moments(user_sums(np.concatenate(copies), codes), np.ones((1, 6)))
    for one, other in zip(weighted, copied, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-12)


def test_parts_are_semidefinite_and_add_up() -> None:
    matrix = np.array([[[1.0, 2.0], [2.0, 1.0]]])  # eigenvalues 3 and -1
    positive, negative = parts(matrix)
    np.testing.assert_allclose(positive - negative, matrix)
    np.testing.assert_allclose(np.linalg.eigvalsh(positive)[0], [0, 3], atol=1e-12)
    np.testing.assert_allclose(np.linalg.eigvalsh(negative)[0], [0, 1], atol=1e-12)


@pytest.mark.parametrize(
    ("losses", "users", "problem"),
    [
        ([[0.1, 0.2]] * 3, [0, 0, 0], "headroom needs at least 2 users; got 1"),
        (np.empty((0, 2)), [], "headroom needs at least 2 users; got 0"),
        ([[0.1, 0.2]] * 3, [0, 1, 2], "each user has only one"),
        ([[0.1, 0.2]] * 3, [0, 1], r"losses must be \[N, K\] and users \[N\]; got \(3, 2\)"),
        ([0.1, 0.2, 0.3], [0, 1, 1], r"got \(3,\)"),
        (np.empty((3, 0)), [0, 1, 1], r"got \(3, 0\)"),
        ([[0.1, 0.2], [0.1, np.nan], [0, 0]], [0, 1, 1], "1 of 6 are not finite, .* row 1"),
        ([["a"]], [0], "losses are not an array of numbers"),
        ([[0.1], [0.2]], [None, 1], "users: 1 of 2 are missing"),
    ],
)
def test_bad_inputs(losses: Any, users: Any, problem: str) -> None:
    with pytest.raises(UserError, match=problem):
        _measure(losses, users)


@pytest.mark.parametrize("option", ["n_resamples", "splits", "permutations", "rows"])
def test_numbers_below_one(option: str) -> None:
    value = [0] if option == "rows" else 0
    with pytest.raises(UserError, match=f"{option}: 0 is below 1"):
        _measure([[0.1], [0.2], [0.3]], [0, 1, 1], **{option: value})
