"""Distribution and entropy of weights."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import entropy

from metaselector.evaluate.analysis.weights import user_entropy, weight_summary


def weights_of(rows: dict[tuple[str, int], list[float]], seed: int = 0) -> pd.DataFrame:
    """``weights.parquet`` of one selector: weights ``[K]`` by user and row."""
    return pd.DataFrame(
        [
            (seed, "metaselector", user, row, f"m{k}", np.float32(weight))
            for (user, row), weights in rows.items()
            for k, weight in enumerate(weights)
        ],
        columns=["seed", "model", "user", "row", "base_model", "weight"],
    )


def test_entropy_is_the_mean_over_a_users_rows() -> None:
    found = user_entropy(
        weights_of({("a", 0): [1, 0, 0], ("a", 7): [1 / 3] * 3, ("b", 1): [0.5, 0.25, 0.25]})
    ).set_index("user")
    assert found["entropy"]["a"] == pytest.approx(0.5)
    assert found["entropy"]["b"] == pytest.approx(entropy([0.5, 0.25, 0.25], base=3))
    assert found["rows"].to_dict() == {"a": 2, "b": 1}


def test_seeds_are_kept_apart() -> None:
    both = [weights_of({("a", 0): [1, 0]}, 4), weights_of({("a", 0): [0.5, 0.5]}, 2)]
    found = user_entropy(pd.concat(both))
    assert found[["seed", "entropy"]].to_numpy().tolist() == [[4, 0], [2, 1]]


def test_one_base_model_has_no_entropy() -> None:
    assert math.isnan(user_entropy(weights_of({("a", 0): [1]}))["entropy"].iloc[0])


def test_summary() -> None:
    share = np.linspace(0, 1, 101)
    found = weight_summary(weights_of({("a", i): [w, 1 - w] for i, w in enumerate(share)}))
    assert found["base_model"].tolist() == ["m0", "m1"]
    quantiles = found[["q05", "q25", "q50", "q75", "q95"]].to_numpy()
    np.testing.assert_allclose(quantiles, [[0.05, 0.25, 0.5, 0.75, 0.95]] * 2, atol=1e-6)
    assert found["mean"].tolist() == pytest.approx([0.5, 0.5])
    assert found["std"].tolist() == pytest.approx([share.std(ddof=1)] * 2)
