"""Reliability curves, ECE, slope and intercept."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit
from sklearn.calibration import calibration_curve

from metaselector.evaluate.analysis.calibration import (
    calibration,
    expected_calibration_error,
    reliability,
    slope_and_intercept,
)


def drawn(n: int = 4000) -> tuple[np.ndarray, np.ndarray]:
    """Labels drawn from the probabilities returned."""
    rng = np.random.default_rng(0)
    p = expit(rng.normal(0, 1.5, n))
    return (rng.random(n) < p).astype(float), p


@pytest.mark.parametrize("digits", [12, 1])
def test_the_curve_is_scikit_learns(digits: int) -> None:
    """Also where rounding makes probabilities tie."""
    y, p = drawn()
    p = p.round(digits)
    curve = reliability(y, p, bins=15)
    observed, predicted = calibration_curve(y, p, n_bins=15, strategy="quantile")
    np.testing.assert_allclose(curve["observed"], observed, rtol=1e-12)
    np.testing.assert_allclose(curve["predicted"], predicted, rtol=1e-12)
    assert curve["rows"].sum() == len(y)


def test_ece_by_hand() -> None:
    y, p = [0, 1, 1, 1, 0, 0], [0.1, 0.1, 0.1, 0.1, 0.6, 0.8]
    curve = reliability(y, p, bins=3)
    assert curve[["bin", "rows"]].to_numpy().tolist() == [[0, 4], [1, 2]]
    expected = 4 / 6 * (0.75 - 0.1) + 2 / 6 * 0.7
    assert expected_calibration_error(curve) == pytest.approx(expected)


def test_a_constant_is_one_bin() -> None:
    curve = reliability([0, 1, 1, 1], [0.75] * 4)
    assert expected_calibration_error(curve) == 0
    assert len(curve) == 1


def test_a_distorted_logit_is_found_again() -> None:
    y, p = drawn(20_000)
    slope, intercept = slope_and_intercept(y, p)
    assert slope == pytest.approx(1, abs=0.05)
    assert intercept == pytest.approx(0, abs=0.05)
    distorted = expit(2 * logit(p) + 1)  # logit p = (logit q - 1) / 2
    assert slope_and_intercept(y, distorted) == pytest.approx(
        (slope / 2, intercept - slope / 2), abs=1e-5
    )


@pytest.mark.parametrize(
    ("y", "p"),
    [
        ([1, 1, 1], [0.2, 0.3, 0.4]),
        ([0, 1, 1], [0.5, 0.5, 0.5]),
        ([0, 1, 1], [0.2, 0.3, 0.4]),
        ([1, 0, 0], [0.2, 0.3, 0.4]),
    ],
)
def test_no_slope_where_none_is_the_best(y: list[int], p: list[float]) -> None:
    assert all(math.isnan(value) for value in slope_and_intercept(y, p))


def test_certainty_is_no_infinity() -> None:
    assert np.isfinite(slope_and_intercept([0, 1, 0, 1], [0.0, 1.0, 1.0, 0.7])).all()


def test_every_model_of_every_seed() -> None:
    y, p = drawn(100)
    frames = [
        pd.DataFrame({"seed": s, "model": m, "user": "u", "row": range(100), "task": "t", "y": y})
        for s in (3, 1)
        for m in ("fm", "lr")
    ]
    predictions = pd.concat(frames).assign(p=np.tile(p, 4))
    curves, errors = calibration(predictions)
    assert errors[["seed", "model"]].to_numpy().tolist() == [
        [3, "fm"], [3, "lr"], [1, "fm"], [1, "lr"],
    ]  # fmt: skip
    assert (errors["ece"] == expected_calibration_error(reliability(y, p))).all()
    assert (errors["bins"] == 15).all()
    assert len(curves) == 4 * 15
