"""All metrics refuse the same, in the same words."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import UserError
from metaselector.evaluate import oracles
from metaselector.evaluate.alignment import align
from metaselector.evaluate.analysis.calibration import reliability, slope_and_intercept
from metaselector.evaluate.bootstrap import scorers
from metaselector.evaluate.losses import row_logloss, user_codes, user_losses
from metaselector.evaluate.metrics import METRICS, gap_closed, gauc, rela_impr
from metaselector.evaluate.ranking import user_rankings
from metaselector.evaluate.results import score

Y, P, USERS = [1.0, 0.0, 1.0, 0.0], [0.9, 0.1, 0.2, 0.6], ["a", "a", "b", "b"]
CODES = np.array([0, 0, 1, 1])


def _columns(p: Any) -> Any:
    return np.stack([p, p], axis=1)


OF_ROWS: dict[str, Callable[[Any, Any], Any]] = {
    **{name: lambda y, p, metric=metric: metric(y, p, USERS) for name, metric in METRICS.items()},
    "row_logloss": row_logloss,
    "user_losses": lambda y, p: user_losses(y, _columns(p), CODES),
    "oracle_sample": lambda y, p: oracles.oracle_sample(y, _columns(p)),
    "oracle_user": lambda y, p: oracles.oracle_user(y, _columns(p), USERS),
    "scorers": lambda y, p: scorers(y, np.array([p]), CODES, 2, ["auc", "logloss"]),
    "user_rankings": lambda y, p: user_rankings(y, p, CODES, 2),
    "reliability": reliability,
    "slope_and_intercept": slope_and_intercept,
}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1.5, -0.1])
@pytest.mark.parametrize("name", OF_ROWS)
def test_predictions_outside_of_0_to_1(name: str, value: float) -> None:
    message = rf"^predictions: [12] of [48] are not in \[0, 1\], the first in row 2 \({value:g}\)"
    with pytest.raises(UserError, match=message):
        OF_ROWS[name](Y, [0.9, 0.1, value, 0.6])


@pytest.mark.parametrize("value", [math.nan, 0.5, 2.0])
@pytest.mark.parametrize("name", OF_ROWS)
def test_what_is_no_label(name: str, value: float) -> None:
    message = rf"^labels: 1 of 4 are neither 0 nor 1, the first in row 2 \({value:g}\)"
    with pytest.raises(UserError, match=message):
        OF_ROWS[name]([1.0, 0.0, value, 0.0], P)


@pytest.mark.parametrize("name", OF_ROWS)
def test_other_lengths(name: str) -> None:
    with pytest.raises(UserError, match=r"labels \(3.*predictions \(4"):
        OF_ROWS[name](Y[:3], P)


@pytest.mark.parametrize("name", OF_ROWS)
def test_words_are_no_labels(name: str) -> None:
    with pytest.raises(UserError, match=r"^labels are not an array of numbers"):
        OF_ROWS[name](["yes", "no", "yes", "no"], P)


@pytest.mark.parametrize("users", [["a", "a", "b"], [["a"], ["a"], ["b"], ["b"]]])
def test_other_users(users: Any) -> None:
    with pytest.raises(UserError, match=r"users \((3|4, 1)"):
        gauc(Y, P, users)


@pytest.mark.parametrize("missing", [None, math.nan, pd.NA])
def test_missing_users(missing: Any) -> None:
    users = np.array(["a", "a", missing, "b"], dtype=object)
    for call in (lambda: gauc(Y, P, users), lambda: user_codes(users)):
        with pytest.raises(UserError, match=r"^users: 1 of 4 are missing, the first in row 2"):
            call()


def test_metrics_without_rows_are_nan() -> None:
    for metric in METRICS.values():
        assert math.isnan(metric([], [], []))


def test_figures_of_figures() -> None:
    assert math.isnan(rela_impr(math.nan, 0.7))
    assert math.isnan(gap_closed(math.nan, 0.5, 0.4))
    with pytest.raises(UserError, match=r"AUC 1\.2 is not in"):
        rela_impr(1.2, 0.7)
    with pytest.raises(UserError, match="must be finite"):
        gap_closed(math.inf, 0.5, 0.4)


def _table(**changes: Any) -> pd.DataFrame:
    columns = {"seed": 0, "task": "label", "model": "lr", "user": USERS, "row": range(4)}
    return pd.DataFrame(columns | {"y": Y, "p": P} | changes)


def test_a_table_names_seed_and_model() -> None:
    with pytest.raises(UserError, match=r"^seed 0, model 'lr': predictions: 1 of 4 are not in"):
        align(_table(p=[0.9, math.nan, 0.2, 0.6]))


@pytest.mark.parametrize("value", [0.25, np.float32(0.25), np.array(0.25), 1, np.int64(1)])
def test_a_number_of_a_metric_of_ones_own(value: Any) -> None:
    table = score(
        _table(), dataset="d", protocol="warm", best_single={0: "lr"},
        metrics={"mine": lambda y, p, users: value},
    )  # fmt: skip
    assert table["mine"].tolist() == [float(value)]


def _fails(y: Any, p: Any, users: Any) -> float:
    raise KeyError("two\nlines")


@pytest.mark.parametrize(
    ("metric", "message"),
    [
        (lambda y, p, users: p, r"returns an array of shape \(4,\) for model 'lr'"),
        (lambda y, p, users: (0.5, 2), "returns tuple for"),
        (lambda y, p, users: None, "returns NoneType for"),
        (lambda y, p, users: "0.5", "returns str for"),
        (lambda y, p, users: True, "returns bool for"),
        (lambda y, p, users: 1j, "returns complex for"),
        (lambda y, p, users: math.nan, "is nan for model 'lr'; it must return one finite number"),
        (lambda y, p, users: np.float64(math.inf), "is inf for"),
        (lambda y, p: 0.5, r"fails for model 'lr' \(TypeError: .*\(y, p, users\)"),
        (_fails, r"fails for model 'lr' \(KeyError: 'two\\nlines'\)"),
        (3, r"fails for model 'lr' \(TypeError: 'int' object is not callable\)"),
    ],
)
def test_a_metric_of_the_wrong_shape(metric: Any, message: str) -> None:
    with pytest.raises(UserError, match=rf"^metric 'mine' {message}") as caught:
        score(
            _table(), dataset="d", protocol="warm", best_single={0: "lr"}, metrics={"mine": metric}
        )
    assert "\n" not in str(caught.value)


def test_a_metric_of_ones_own_changes_nothing() -> None:
    def spoiling(y: np.ndarray, p: np.ndarray, users: np.ndarray) -> float:
        y[:], p[:], users[:] = 0, 0, "x"
        return 0.0

    table, usual = _table(), {"dataset": "d", "protocol": "warm", "best_single": {0: "lr"}}
    found = score(table, **usual, metrics={"mine": spoiling})  # type: ignore[arg-type]
    assert found["auc"].tolist() == score(table, **usual)["auc"].tolist()  # type: ignore[arg-type]
