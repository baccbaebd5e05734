"""Perfect knowledge and chance as levels of logloss."""

from __future__ import annotations

import numpy as np
import pytest

from metaselector.evaluate.alignment import Aligned
from metaselector.evaluate.bounds import BOUNDS, selection_bounds
from metaselector.evaluate.headroom import headroom
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.oracles import oracle_user


def _world(users: int, rows: int, spread: float) -> Aligned:
    """Two models; each user's logit is truly that of the one or of the other, `spread` apart."""
    rng = np.random.default_rng(0)
    of = np.repeat(np.arange(users), rows)
    logit = rng.normal(size=users * rows)
    shifts = spread * np.array([-1, 1])
    truth = logit + shifts[rng.integers(2, size=users)][of]
    y = (rng.random(len(of)) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    p = {name: 1 / (1 + np.exp(-logit - shift)) for name, shift in zip("ab", shifts, strict=True)}
    return Aligned(of, y, p)


def _levels(aligned: Aligned) -> tuple[float, float, float, float]:
    """Best single model, oracle, perfect knowledge and chance."""
    base = np.stack(list(aligned.p.values()), axis=1)
    chosen, _ = oracle_user(aligned.y, base, aligned.users)
    found = selection_bounds(aligned, list("ab"), seed=0)
    assert tuple(found) == BOUNDS
    single = row_logloss(aligned.y[:, None], base).mean(axis=0).min()
    return single, row_logloss(aligned.y, chosen).mean(), *found.values()


def test_where_users_do_not_differ_the_oracle_is_chance() -> None:
    rng, aligned = np.random.default_rng(1), _world(3000, 10, 0.5)
    y = (rng.random(len(aligned.y)) < 0.5).astype(np.float64)
    single, oracle, knowledge, chance = _levels(Aligned(aligned.users, y, aligned.p))
    assert oracle == pytest.approx(chance, abs=0.01)
    assert single - chance > 0.05
    assert abs(single - knowledge) < (single - chance) / 4


def test_where_users_differ_and_rows_are_many_the_oracle_is_knowledge() -> None:
    single, oracle, knowledge, chance = _levels(_world(300, 200, 0.5))
    assert knowledge == pytest.approx(oracle, abs=0.02)
    assert single - knowledge > 2 * (single - chance)


def test_figures_are_those_of_headroom() -> None:
    aligned = _world(200, 8, 0.5)
    losses = row_logloss(aligned.y[:, None], np.stack(list(aligned.p.values()), axis=1))
    found = headroom(losses, aligned.users, np.random.default_rng(3), n_resamples=10)
    gains = {figure.name: figure.value for figure in found}
    _, _, knowledge, chance = _levels(aligned)
    # Two models have an exact gain; chance differs by the permutations.
    assert gains["best-single"] - gains["perfect-knowledge"] == pytest.approx(knowledge, abs=1e-12)
    assert gains["best-single"] - gains["chance"] == pytest.approx(chance, abs=0.001)


@pytest.mark.parametrize("users", [["u"] * 4, list("abcd")])
def test_too_few_users_or_rows(users: list[str]) -> None:
    p = {"a": np.array([0.1, 0.2, 0.3, 0.4]), "b": np.array([0.4, 0.3, 0.2, 0.1])}
    assert selection_bounds(Aligned(np.array(users), np.array([0.0, 1, 0, 1]), p), ["a"], 0) == {}
