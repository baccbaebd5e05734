"""What training costs, and the rates it learns."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from metaselector.evaluate.analysis.training_records import cost_curves, equal_cost, kept_rates


def history() -> pd.DataFrame:
    joint, simplified = ("metaselector", "meta-train"), ("metaselector-simplified", "meta-train")
    return pd.DataFrame(
        [
            (0, "lr", "pretrain-train", 1, 0.7, np.nan),
            (0, "sample-selector", "meta-train", 0, 0.6, 1.0),
            (0, *simplified, 0, 0.60, 1.0),
            (0, *simplified, 1, 0.58, 2.0),
            (0, *simplified, 2, 0.59, 3.0),
            (0, *joint, 0, 0.61, 2.5),
            (0, *joint, 1, 0.57, 5.0),
            (1, *simplified, 0, 0.60, 1.0),
            (1, *joint, 0, 0.61, 2.5),
        ],
        columns=["seed", "model", "stage", "epoch", "valid_loss", "seconds"],
    )


def test_only_metaselector_is_compared() -> None:
    curves = cost_curves(history())
    assert set(curves["model"]) == {"metaselector", "metaselector-simplified"}
    assert curves["best_so_far"].tolist() == [0.60, 0.58, 0.58, 0.61, 0.57, 0.60, 0.61]


def test_the_budget_is_that_of_the_first_to_stop() -> None:
    found = equal_cost(cost_curves(history())).set_index(["seed", "model"])
    first, second = (found.loc[(0, name)] for name in ("metaselector-simplified", "metaselector"))
    assert (first["budget"], second["budget"]) == (3, 3)
    assert (first["loss_in_budget"], second["loss_in_budget"]) == (0.58, 0.61)
    assert (first["best_loss"], second["best_loss"]) == (0.58, 0.57)
    assert (first["seconds_to_best"], second["seconds_to_best"]) == (2, 5)
    assert (first["seconds"], second["seconds"]) == (3, 5)
    assert np.isnan(found.loc[(1, "metaselector"), "loss_in_budget"])


def test_a_run_without_seconds_has_no_cost() -> None:
    curves = cost_curves(history().drop(columns="seconds"))
    assert curves.empty
    assert equal_cost(curves).empty


def test_kept_rates_are_those_of_the_last_epoch() -> None:
    rates = pd.DataFrame(
        [
            (0, "metaselector", 0, "a", "lr", 9.0, 9.0, 9.0),
            (0, "metaselector", 2, "a", "lr", 1.0, 0.5, 1.5),
            (0, "metaselector", 2, "b", "lr", 2.0, -1.0, 3.0),
            (0, "metaselector", 2, "c", "selector", 4.0, 4.0, 4.0),
            (1, "metaselector", 1, "a", "lr", 5.0, 5.0, 5.0),
        ],
        columns=["seed", "model", "epoch", "parameter", "group", "mean", "low", "high"],
    )
    found = kept_rates(rates).set_index(["seed", "group"])
    line = found.loc[(0, "lr"), ["epoch", "parameters", "mean", "low", "high"]]
    assert line.tolist() == pytest.approx([2, 2, 1.5, -1, 3])
    assert found.loc[(1, "lr"), "mean"] == 5
    assert kept_rates(rates.iloc[:0]).empty  # a rule that learns no rates
