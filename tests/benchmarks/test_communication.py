"""The cost model, and the tables of the workers' measurements."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
import pytest

from benchmarks import communication
from benchmarks import communication_cost as cost_model
from benchmarks import communication_tables as tables
from benchmarks.communication_cost import Cost, Load, Measured
from benchmarks.communication_network import Network
from benchmarks.communication_worker import ALONE, Mark, steps_of
from metaselector.report.figures import style

DENSE = Load(compute=0.1, reduced=8e5, gathered=0, reduces=1, gathers=0)
ROWS = Load(compute=0.12, reduced=1e5, gathered=2e5, reduces=1, gathers=2)
RARE = Load(compute=0.1, reduced=5e4, gathered=100, reduces=0.1, gathers=0.1)


def test_bytes_of_rings() -> None:
    assert DENSE.sent(2) == 8e5
    assert DENSE.sent(8) == pytest.approx(2 * 7 / 8 * 8e5)
    assert ROWS.sent(2) == 1e5 + 2e5
    assert ROWS.sent(64) == pytest.approx(2 * 63 / 64 * 1e5 + 63 * 2e5)
    assert ROWS.rounds(2) == 2 * 1 + 2


def test_the_fit_finds_the_costs_it_was_made_of() -> None:
    true = Cost(latency=3e-4, slowdown=1.1)
    measured = [
        Measured(load, bandwidth, true.seconds(load, 2, bandwidth or math.inf))
        for load in (DENSE, ROWS, RARE)
        for bandwidth in (None, 1e9, 1e8)
    ]
    assert vars(cost_model.fit(measured)) == pytest.approx(vars(true))
    assert true.seconds(DENSE, 1, 1e8) == DENSE.compute
    # 2 rounds of one all-reduce, 0.8 MB at 100 Mbit/s
    assert true.seconds(DENSE, 2, 1e8) == pytest.approx(0.1 + 2 * 3e-4 + 1.1 * 0.064)


def test_bare_all_reduces_are_no_training() -> None:
    measured = [
        cost_model.all_reduce(8, None, 2e-4),
        cost_model.all_reduce(1e6, 1e8, 2e-4 + 0.08),
    ]
    assert vars(cost_model.fit(measured)) == pytest.approx(
        {"latency": 1e-4, "slowdown": 1}, rel=1e-3
    )


def test_steps_between_two_epochs_do_not_count() -> None:
    marks = [Mark(float(t), 0, 0, 0, 0, 0, 0, 0) for t in (0, 1, 2, 50, 51, 52)]
    assert [step[0] for step in steps_of(marks, per_epoch=3)] == [1, 1, 1, 1]


def _steps(seconds: float, sent: float, gathered: float, gathers: float) -> list[list[float]]:
    return [list(Mark(seconds, seconds / 2, 1.1 * sent, sent, gathered, 1, gathers, 0.01))] * 10


@pytest.fixture
def timed() -> dict[tuple[str, str, int], list[list[float]]]:
    return {
        (ALONE, "unlimited", 32): _steps(0.2, 0, 0, 0),
        (ALONE, "unlimited", 16): _steps(0.11, 0, 0, 0),
        ("none", "unlimited", 32): _steps(0.11, 1000, 0, 0),
        ("none", "unlimited", 64): _steps(0.21, 1000, 0, 0),
        ("sparse", "unlimited", 64): _steps(0.22, 300, 200, 2),
        ("bf16", "unlimited", 64): _steps(0.22, 50, 40, 2),
        ("none", "100 Mbit/s", 32): _steps(0.3, 1000, 0, 0),
        ("sparse", "unlimited", 32): _steps(0.125, 300, 200, 2),
        ("sparse", "100 Mbit/s", 32): _steps(0.2, 300, 200, 2),
        ("bf16", "unlimited", 32): _steps(0.125, 50, 40, 2),
        ("bf16", "100 Mbit/s", 32): _steps(0.2, 50, 40, 2),
    }


@pytest.fixture
def table(timed: Any) -> pd.DataFrame:
    ways = {ALONE: 0.0, "none": 1000.0, "sparse": 300.0, "bf16": 50.0}
    trained = {
        (way, seed): {"sent": sent * 10, "steps": 10 if sent else 0}
        for way, sent in ways.items()
        for seed in (0, 1)
    }
    differences = {ALONE: 0.001, "none": 0.0, "sparse": 0.0, "bf16": -0.01}
    compared = pd.DataFrame(
        {
            "way": way,
            "auc": 0.75 + d,
            "auc_difference": d,
            "auc_low": d - 0.002 * (way != "none"),
            "auc_high": d + 0.002 * (way != "none"),
            "logloss": 0.5,
            "logloss_difference": -d,
            "logloss_low": -d - 0.002 * (way != "none"),
            "logloss_high": -d + 0.002 * (way != "none"),
        }
        for way, d in differences.items()
    )
    return tables.make(trained, timed, compared, "none")


def test_best_is_what_loses_nothing(timed: Any, table: pd.DataFrame) -> None:
    found = tables.figures(table, timed, "none", "sparse")
    # bf16 sends less, but is significantly worse.
    assert (found["best"], found["bytes_ratio_best"]) == ("sparse", pytest.approx(0.3))
    assert found["auc_interval"] == [-0.002, 0.002]
    assert found["efficiency_2"] == found["efficiency_2_best"] == pytest.approx(0.11 / 0.125)
    efficient = tables.efficiencies(timed).set_index("way")
    assert efficient.loc["sparse", "whole"] == pytest.approx(0.2 / 0.22)
    assert efficient.loc["sparse", "strong"] == pytest.approx(0.2 / 0.125 / 2)


def test_steps_in_short() -> None:
    short = tables.of_steps([*_steps(0.1, 8, 0, 0), [9.0] * 8])
    assert short["steps"] == 11
    assert short["seconds"] == pytest.approx([10 / 11, 0.1])


def test_load_takes_collectives_apart(timed: Any) -> None:
    load = tables.load(timed, "sparse", "none")
    assert (load.reduced, load.gathered) == (100, 200)
    assert load.sent(2) == 300
    assert load.whole == 900
    # With 64 workers, all rows are fewer than the touched rows of all workers.
    assert load.sent(64) == pytest.approx(2 * 63 / 64 * (100 + 900))


def test_all_of_it_as_a_page(timed: Any, table: pd.DataFrame) -> None:
    bandwidths = {"unlimited": None, "100 Mbit/s": 1e8}
    cost = Cost(latency=1e-4, slowdown=1.0)
    loads = {way: tables.load(timed, way, "none") for way in ("none", "sparse")}
    predicted = tables.predictions(cost, loads, timed, bandwidths)
    assert list(predicted["way"]) == ["none", "sparse"]
    figures = tables.figures(table, timed, "none", "sparse")
    command = "python -m it"
    text = tables.summary(table, figures, timed, predicted, cost, default="sparse", command=command)
    assert "| `sparse` | 0.88 | 0.91 | 0.80 |" in text
    assert "| `bf16` | 50 | 5.0 % | 16.7 % | 0.7400 | −0.0100 [−0.0120, −0.0080] |" in text
    assert "| `none` | 1,000 | 100.0 % | 333.3 % | 0.7500 |  |  |" in text
    assert len(set(communication.WAYS) - set(communication.NOT_DRAWN)) <= len(style.CYCLE)
    assert "| 100 Mbit/s | `sparse` |" in text
    alone = tables.summary(table, figures, timed, None, cost, default="sparse", command=command)
    assert alone + "\n" == text[: text.index("### Predicted")]
    made = cost_model.figure(cost, loads, 0.05, {"100 Mbit/s": 1e8})
    lines = made.axes[0].get_lines()
    assert [len(np.asarray(line.get_xdata())) for line in lines] == [7, 7]


def test_a_network_of_the_machine_itself() -> None:
    told = Network().environment(1, 2)
    assert (told["RANK"], told["MASTER_ADDR"], told["GLOO_SOCKET_IFNAME"]) == (
        "1",
        "127.0.0.1",
        "lo",
    )
    assert Network(("a", "b"), "cable").prefix(1) == ["ip", "netns", "exec", "b"]
