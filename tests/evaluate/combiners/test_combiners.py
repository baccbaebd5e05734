"""What holds for every combiner."""

from __future__ import annotations

import sys
from dataclasses import replace

import numpy as np
import pytest

from metaselector.config import TABLE_ROWS
from metaselector.data.interactions import Floats
from metaselector.evaluate.combiners import COMBINERS, OPTIONAL, Predictions, usable_combiners
from metaselector.report.groups import COMBINATION, group_of

USERS, ROWS, K = 12, 8, 3
NAMES = sorted(COMBINERS)
TUNED_BY_NAME = {"stacking-logistic", "stacking-lightgbm", "stacking-lightgbm-features"}
"""Their folds depend on the names of users."""


def world(seed: int, k: int = K, users: int = USERS, rows: int = ROWS) -> Predictions:
    """Base models that know something, the first one least."""
    rng = np.random.default_rng(seed)
    truth = rng.normal(size=users * rows)
    noisy = truth[:, None] + rng.normal(size=(len(truth), k)) / np.arange(1, k + 1)
    y = (rng.random(len(truth)) < 1 / (1 + np.exp(-truth))).astype(np.float64)
    names = np.repeat([f"u{user:02}" for user in range(users)], rows).astype(object)
    features = np.stack([rng.normal(size=len(y)), rng.integers(9, size=len(y))], axis=1)
    features[::7, 0] = np.nan
    base = 1 / (1 + np.exp(-noisy))
    return Predictions(base, names, np.arange(len(y)), y, features, categorical=(1,))


def unlabelled(rows: Predictions) -> Predictions:
    return replace(rows, y=None)


def predict(name: str, fitting: Predictions, test: Predictions) -> Floats:
    if name in OPTIONAL:
        pytest.importorskip(OPTIONAL[name])
    p = COMBINERS[name]().fit(fitting).predict(test)
    assert p.shape == (len(test.users),)
    assert p.dtype == np.float64
    assert ((p >= 0) & (p <= 1)).all()
    return p


FITTING, TEST = world(0), unlabelled(world(1))


def test_every_combiner_is_a_row_of_the_table() -> None:
    assert [row for row in TABLE_ROWS if row in COMBINERS] == list(COMBINERS)
    assert {group_of(name) for name in COMBINERS} == {COMBINATION}


@pytest.mark.parametrize("name", NAMES)
def test_labels_of_test_rows_are_not_read(name: str) -> None:
    p = predict(name, FITTING, TEST)
    for y in (np.zeros(len(p)), np.ones(len(p)), np.full(len(p), np.nan)):
        np.testing.assert_array_equal(predict(name, FITTING, replace(TEST, y=y)), p)


@pytest.mark.parametrize("name", NAMES)
def test_each_test_row_is_predicted_by_itself(name: str) -> None:
    """No row of *test* says anything about another one."""
    p = predict(name, FITTING, TEST)
    some = np.arange(len(p)) % 3 == 0
    alone = predict(name, FITTING, TEST.some(some, labels=False))
    np.testing.assert_allclose(alone, p[some], rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_twice_is_the_same_to_the_last_bit(name: str) -> None:
    first, second = (predict(name, FITTING, TEST) for _ in range(2))
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("seed", range(3))
def test_order_of_rows_does_not_matter(name: str, seed: int) -> None:
    order = np.random.default_rng(seed).permutation(len(FITTING.users))
    assert FITTING.features is not None
    shuffled = Predictions(
        FITTING.base[order],
        FITTING.users[order],
        FITTING.order[order],
        FITTING.labels()[order],
        FITTING.features[order],
        FITTING.categorical,
    )
    expected = predict(name, FITTING, TEST)
    np.testing.assert_allclose(predict(name, shuffled, TEST), expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(COMBINERS.keys() - TUNED_BY_NAME))
def test_names_of_users_do_not_matter(name: str) -> None:
    renamed = {old: 100 - 7 * i for i, old in enumerate(dict.fromkeys(FITTING.users))}
    fitting, test = (
        replace(rows, users=np.array([renamed[user] for user in rows.users]))
        for rows in (FITTING, TEST)
    )
    expected = predict(name, FITTING, TEST)
    np.testing.assert_allclose(predict(name, fitting, test), expected, rtol=1e-12)


@pytest.mark.parametrize("name", NAMES)
def test_order_of_base_models_does_not_matter(name: str) -> None:
    turned = [2, 0, 1]
    fitting, test = (replace(rows, base=rows.base[:, turned]) for rows in (FITTING, TEST))
    expected = predict(name, FITTING, TEST)
    np.testing.assert_allclose(predict(name, fitting, test), expected, atol=1e-6)


@pytest.mark.parametrize("name", sorted(COMBINERS.keys() - {"user-bias", *TUNED_BY_NAME}))
def test_one_base_model_is_left_as_it_is(name: str) -> None:
    fitting, test = world(0, k=1), unlabelled(world(1, k=1))
    np.testing.assert_allclose(predict(name, fitting, test), test.base[:, 0], rtol=1e-12)


@pytest.mark.parametrize("name", ["user-bias", *sorted(TUNED_BY_NAME)])
def test_one_base_model_can_be_recalibrated(name: str) -> None:
    predict(name, world(0, k=1), unlabelled(world(1, k=1)))


@pytest.mark.parametrize("name", NAMES)
def test_users_without_rows_are_predicted(name: str) -> None:
    strangers = replace(TEST, users=np.full(len(TEST.users), "stranger", dtype=object))
    p = predict(name, FITTING, strangers)
    if name.startswith("user-") and name != "user-best":
        np.testing.assert_allclose(p, strangers.base.mean(axis=1), rtol=1e-9)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_class(name: str, label: float) -> None:
    p = predict(name, replace(FITTING, y=np.full(len(FITTING.users), label)), TEST)
    assert np.isfinite(p).all()


@pytest.mark.parametrize("name", NAMES)
def test_users_of_one_class_each(name: str) -> None:
    y = (np.arange(len(FITTING.users)) // ROWS % 2).astype(np.float64)
    assert np.isfinite(predict(name, replace(FITTING, y=y), TEST)).all()


@pytest.mark.parametrize("name", NAMES)
def test_probabilities_of_0_and_1(name: str) -> None:
    """Also wrong ones, of which all base models are sure."""
    base = (FITTING.base > 0.5).astype(np.float64)
    base[:4] = 1 - FITTING.labels()[:4, None]
    p = predict(name, replace(FITTING, base=base), replace(TEST, base=TEST.base.round()))
    assert np.isfinite(p).all()


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("users", "rows"), [(1, 1), (1, 6), (6, 1), (2, 2)])
def test_few_users_and_few_rows(name: str, users: int, rows: int) -> None:
    assert np.isfinite(predict(name, world(0, users=users, rows=rows), TEST)).all()


@pytest.mark.parametrize("name", sorted(COMBINERS.keys() - {"uniform"}))
def test_no_rows_to_fit_on(name: str) -> None:
    nothing = FITTING.some(np.zeros(len(FITTING.users), dtype=np.bool_), labels=True)
    with pytest.raises(ValueError, match="no row"):
        predict(name, nothing, TEST)


@pytest.mark.parametrize("name", sorted(COMBINERS.keys() - {"uniform"}))
def test_rows_without_labels_cannot_be_fitted_on(name: str) -> None:
    with pytest.raises(ValueError, match="no labels"):
        predict(name, unlabelled(FITTING), TEST)


def test_features_stay_with_their_rows() -> None:
    assert FITTING.features is not None
    assert FITTING.unlabelled().features is FITTING.features
    some = np.arange(len(FITTING.users)) % 3 == 0
    kept = FITTING.some(some, labels=True)
    np.testing.assert_array_equal(kept.features, FITTING.features[some])
    assert kept.categorical == (1,)
    assert replace(FITTING, features=None).some(some, labels=True).features is None


@pytest.mark.parametrize(
    "change",
    [{"y": np.ones(3)}, {"base": np.ones(5)}, {"order": [[1]]}, {"features": np.ones((3, 1))}],
)
def test_shapes_that_do_not_agree(change: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="does not match base"):
        replace(FITTING, **change)  # type: ignore[arg-type]


def test_a_row_whose_library_is_missing_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    assert COMBINERS.keys() - usable_combiners().keys() == OPTIONAL.keys()
