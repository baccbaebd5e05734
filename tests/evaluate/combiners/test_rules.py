"""Each combiner in tiny worlds where the answer is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit

from metaselector.evaluate.combiners import COMBINERS, PerUser, Predictions
from metaselector.evaluate.combiners.convex import Convex
from metaselector.evaluate.combiners.halves import choose, earlier_half, halves
from metaselector.evaluate.combiners.simple import Uniform, UserBest
from metaselector.evaluate.combiners.stacking import (
    StackingLightGBM,
    StackingLogistic,
    user_folds,
)
from metaselector.evaluate.combiners.user_bias import VARIANCES, UserBias, map_biases
from metaselector.evaluate.combiners.user_exponential import ETAS, UserExponential
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.metrics import logloss
from metaselector.evaluate.oracles import oracle_user


def rows(base: object, users: object, y: object = None) -> Predictions:
    known = np.asarray(base, dtype=np.float64)
    labels = None if y is None else np.asarray(y, dtype=np.float64)
    return Predictions(known, np.asarray(users), np.arange(len(known)), labels)


def random_rows(seed: int, n: int = 80, users: int = 9) -> Predictions:
    rng = np.random.default_rng(seed)
    return rows(rng.random((n, 3)), rng.integers(users, size=n), rng.integers(2, size=n))


def test_uniform_is_the_mean() -> None:
    test = rows([[0.2, 0.4], [0.0, 1.0]], ["a", "b"])
    np.testing.assert_allclose(Uniform().fit(test).predict(test), [0.3, 0.5])


@pytest.mark.parametrize("seed", range(5))
def test_uniform_is_no_worse_than_the_mean_logloss(seed: int) -> None:
    world = random_rows(seed)
    p = Uniform().fit(world).predict(world)
    assert logloss(world.labels(), p) <= row_logloss(world.labels()[:, None], world.base).mean()


def test_user_best_by_hand() -> None:
    # a: model 0; b: model 1; all rows: model 0
    fitting = rows([[0.9, 0.2], [0.6, 0.7], [0.2, 0.1]], ["a", "b", "b"], [1, 1, 0])
    test = rows([[0.11, 0.12], [0.21, 0.22], [0.31, 0.32]], ["b", "c", "a"])
    assert UserBest().fit(fitting).predict(test).tolist() == [0.12, 0.21, 0.31]


def test_user_best_on_the_test_rows_is_the_oracle() -> None:
    world = random_rows(0)
    expected = oracle_user(world.labels(), world.base, world.users)[0]
    np.testing.assert_array_equal(UserBest().fit(world).predict(world), expected)


def test_convex_gives_a_perfect_model_all_weight() -> None:
    world = random_rows(0)
    world.base[:, 1] = world.labels()
    np.testing.assert_allclose(Convex().fit(world).weights, [0, 1, 0], atol=1e-6)


def test_convex_by_hand() -> None:
    """Model 0 gives 3 labels 0.8 and 1 label 0.2; model 1 gives every label 0.5."""
    world = rows([[0.8, 0.5], [0.2, 0.5], [0.2, 0.5], [0.2, 0.5]], list("aabb"), [1, 0, 0, 1])
    # 3 log(0.5 + 0.3 w) + log(0.5 - 0.3 w) has its maximum where 0.3 w = 0.25.
    np.testing.assert_allclose(Convex().fit(world).weights[0], 0.25 / 0.3, atol=1e-6)


@pytest.mark.parametrize("seed", range(10))
def test_convex_fulfils_the_conditions_of_a_minimum(seed: int) -> None:
    """Karush, Kuhn and Tucker: no model has more to give than those that have weight."""
    world = random_rows(seed)
    weights = Convex().fit(world).weights
    y = world.labels()[:, None]
    likelihood = y * world.base + (1 - y) * (1 - world.base)
    gain = (likelihood / (likelihood @ weights)[:, None]).mean(axis=0)
    assert weights.sum() == pytest.approx(1)
    assert (gain <= 1 + 1e-5).all()
    np.testing.assert_allclose(gain[weights > 1e-3], 1, atol=1e-4)


def test_stacking_undoes_a_wrong_scale() -> None:
    """Logits that are three times too large are shrunk again."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=4000)
    y = (rng.random(4000) < expit(scores)).astype(np.float64)
    world = rows(expit(3 * scores)[:, None], np.arange(4000) // 10, y)
    p = StackingLogistic().fit(world).predict(world)
    np.testing.assert_allclose(logit(p), scores, atol=0.35)


def planted(seed: int, users: int = 60, per_user: int = 20) -> Predictions:
    """Base models that know nothing; the label follows a category, and for some a number.

    Columns: the category (3 of them), the number, the user. Category 0 mostly likes, 1 mostly does
    not, and 2 likes what is above 0.
    """
    rng = np.random.default_rng(seed)
    n = users * per_user
    category, number, user = rng.integers(3, size=n), rng.normal(size=n), np.arange(n) // per_user
    likely = np.where(category == 2, number > 0, category == 0)
    y = (rng.random(n) < np.where(likely, 0.9, 0.1)).astype(np.float64)
    base = rng.uniform(0.3, 0.7, size=(n, 2))
    features = np.stack([category, number, user], axis=1)
    return Predictions(base, user, np.arange(n), y, features, categorical=(0, 2))


def test_trees_learn_from_features_what_base_models_do_not_know() -> None:
    pytest.importorskip("lightgbm")
    fitting, test = planted(0), planted(1)
    with_features, without = (
        logloss(test.labels(), StackingLightGBM(features=seen).fit(fitting).predict(test))
        for seen in (True, False)
    )
    entropy = -(0.9 * np.log(0.9) + 0.1 * np.log(0.1))  # 0.325 of one who knows the rule
    assert with_features < entropy + 0.06
    assert without > np.log(2) - 0.03


@pytest.mark.parametrize("of", ["item", "user"])
def test_trees_learn_of_categories_what_holds_for_other_users(of: str) -> None:
    """One of 40 items, or the user, says the label, and nothing else does."""
    pytest.importorskip("lightgbm")
    n = 2400
    user, item = np.arange(n) // 60, np.random.default_rng(0).integers(40, size=n)
    category = item if of == "item" else user
    world = Predictions(
        np.full((n, 2), 0.5), user, np.arange(n), category % 2, category[:, None], categorical=(0,)
    )
    p = StackingLightGBM(features=True).fit(world).predict(world)
    if of == "item":
        assert logloss(world.labels(), p) < 0.3
    else:
        assert np.ptp(p) == 0


def test_trees_need_the_features_that_they_are_to_see() -> None:
    pytest.importorskip("lightgbm")
    with pytest.raises(ValueError, match="no features"):
        StackingLightGBM(features=True).fit(random_rows(0))


def test_folds_keep_the_rows_of_a_user_together() -> None:
    world = random_rows(0)
    folds = user_folds(world)
    assert len(folds) == 5
    for fitted, scored in folds:
        assert not set(world.users[fitted]) & set(world.users[scored])
    assert sorted(np.concatenate([scored for _, scored in folds])) == list(range(80))


def test_user_exponential_with_eta_1_is_the_posterior_over_models() -> None:
    fitting = rows([[0.9, 0.5], [0.2, 0.5]], ["a", "a"], [1, 0])
    test = rows([[1.0, 0.0], [1.0, 0.0]], ["a", "b"])
    p = UserExponential(1.0).fit(fitting).predict(test)
    np.testing.assert_allclose(p, [0.9 * 0.8 / (0.9 * 0.8 + 0.5 * 0.5), 0.5])


def test_user_exponential_lies_between_uniform_and_user_best() -> None:
    world = random_rows(0)
    low, high = (UserExponential(eta).fit(world).predict(world) for eta in (0.0, 1e6))
    np.testing.assert_allclose(low, Uniform().fit(world).predict(world))
    np.testing.assert_allclose(high, UserBest().fit(world).predict(world))


@pytest.mark.parametrize(("good", "chosen"), [(0.99, ETAS[1:]), (0.5, ETAS[:1])])
def test_eta_is_above_0_where_users_differ(good: float, chosen: tuple[float, ...]) -> None:
    """Every user has one model that is right, and one that is wrong; or both know nothing."""
    users = np.repeat(np.arange(6), 40)
    y = np.tile([0.0, 1.0], 120)
    right = np.where(y == 1, good, 1 - good)
    first = np.where(users % 2 == 0, right, 1 - right)
    assert UserExponential().fit(rows(np.stack([first, 1 - first], 1), users, y)).eta in chosen


@pytest.mark.parametrize("make", [UserExponential, UserBias])
def test_fitting_again_chooses_again(make: type[UserExponential] | type[UserBias]) -> None:
    first, second = random_rows(0), rows([[0.9, 0.1]] * 40, [0] * 40, [1] * 40)
    again = make().fit(second).fit(first).predict(first)
    np.testing.assert_array_equal(again, make().fit(first).predict(first))


@pytest.mark.parametrize("variance", [0.01, 1.0, 50.0])
@pytest.mark.parametrize("spread", [1.0, 30.0])
def test_biases_are_those_of_one_minimisation_a_user(variance: float, spread: float) -> None:
    rng = np.random.default_rng(0)
    codes = np.append(np.arange(7), rng.integers(7, size=60))
    y, scores = rng.integers(2, size=67).astype(np.float64), spread * rng.normal(size=67)
    y[codes == 3] = 1
    for user, bias in enumerate(map_biases(y, scores, codes, variance)):
        mine = codes == user

        def loss(b: float, mine: np.ndarray = mine) -> float:
            margins = (2 * y[mine] - 1) * (scores[mine] + b)
            return float(np.logaddexp(0, -margins).sum() + b**2 / (2 * variance))

        slow = minimize_scalar(loss, bounds=(-9e3, 9e3), method="bounded", options={"xatol": 1e-9})
        assert bias == pytest.approx(slow.x, abs=1e-5)


def test_biases_have_the_sign_of_what_the_mean_misses() -> None:
    base = np.full((12, 2), 0.5)
    y = [1, 1, 1, 1, 0, 0, 0, 0, 1, 0, 1, 0]
    found = UserBias(1.0).fit(rows(base, list("aaaabbbbcccc"), y))
    assert found.biases[0] > 0
    assert found.biases[1] == pytest.approx(-found.biases[0])
    np.testing.assert_allclose(found.biases[2:], 0, atol=1e-12)


def test_variance_is_0_where_users_swing_and_large_where_they_lean() -> None:
    users = np.repeat(np.arange(10), 20)
    base = np.full((200, 2), 0.5)
    swings = np.tile(np.repeat([0.0, 1.0], 10), 10)  # the later half is the opposite
    assert UserBias().fit(rows(base, users, swings)).variance == 0
    leans = (users % 2).astype(np.float64)
    assert UserBias().fit(rows(base, users, leans)).variance == VARIANCES[-1]


def test_earlier_half_goes_by_time_and_not_by_row() -> None:
    world = Predictions(
        np.full((6, 1), 0.5), np.array(list("ababaa")), np.array([9, 1, 2, 0, 5, 3]), np.ones(6)
    )
    assert earlier_half(world).tolist() == [False, False, True, True, False, True]


def test_choosing_takes_the_first_of_equals_and_never_scores_what_it_fits_on() -> None:
    fitted: list[list[int]] = []

    class Constant(Uniform):
        def __init__(self, p: float) -> None:
            self.p = p

        def fit(self, fitting: Predictions) -> Constant:
            fitted.append(fitting.order.tolist())
            return self

        def predict(self, test: Predictions) -> np.ndarray:
            assert test.y is None
            assert not set(fitted[-1]) & set(test.order)
            return np.full(len(test.users), self.p)

    world = rows(np.full((4, 1), 0.5), list("aabb"), [0, 1, 0, 1])
    assert choose([0.2, 0.9, 0.9 + 1e-17, 0.6], Constant, *halves(world)) == 0.9
    assert fitted == [[0, 2]] * 4
    assert choose([0.3, 0.7], Constant, *halves(rows([[0.5]] * 2, list("aa"), [0, 1]))) == 0.7


@pytest.mark.parametrize(
    ("make", "setting", "candidates"),
    [(UserExponential, "eta", ETAS), (UserBias, "variance", VARIANCES)],
)
def test_tuning_keeps_its_setting_for_other_users(
    make: type[UserExponential] | type[UserBias], setting: str, candidates: tuple[float, ...]
) -> None:
    world = random_rows(3)
    before, after = halves(world)
    others = rows(world.base[:20], ["z"] * 20, world.labels()[:20])
    tuned = make().tune(before, after).fit(others)
    assert getattr(tuned, setting) == choose(candidates, make, before, after)
    expected = make(getattr(tuned, setting)).fit(others).predict(others)
    np.testing.assert_array_equal(tuned.predict(others), expected)
    assert isinstance(tuned, PerUser)


def test_combiners_by_user_are_told_from_the_others() -> None:
    by_user = {name for name, make in COMBINERS.items() if isinstance(make(), PerUser)}
    assert by_user == {"user-best", "user-exponential", "user-bias"}
