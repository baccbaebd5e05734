"""The figures of the report as functions that return axes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from metaselector import plots
from metaselector.common.errors import DataError, UserError
from tests.report.invented import headroom

RESULTS = pd.DataFrame(
    {
        "model": ["lr", "metaselector", "oracle-user"],
        "auc": [0.7, 0.8, 0.9],
        "logloss": [0.6, 0.5, 0.4],
    }
)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    plt.close("all")


def test_a_table_becomes_axes_that_pyplot_knows() -> None:
    axes = plots.comparison(RESULTS)
    assert [one.get_xlabel().split("\n")[0] for one in axes] == ["AUC", "logloss"]
    assert axes[0].figure is plt.gcf()
    dots = {x for line in axes[1].lines for x in np.atleast_1d(line.get_xdata()).tolist()}
    assert {0.6, 0.5} <= dots


def test_a_run_is_read_from_its_directory(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="file not found"):
        plots.comparison(tmp_path)
    weights = pd.DataFrame({"seed": 0, "model": "metaselector", "user": "u", "row": [0, 1]})
    weights = pd.concat([weights.assign(base_model=k, weight=0.5) for k in ("lr", "fm")])
    weights.to_parquet(tmp_path / "weights.parquet")
    for source in (tmp_path, str(tmp_path), SimpleNamespace(run_directory=tmp_path), weights):
        assert [one.get_title(loc="left") for one in plots.weights(source)] == ["lr", "fm"]
    with pytest.raises(UserError, match="no rows"):
        plots.weights(weights.iloc[:0])


def test_calibration_and_support_curve(tmp_path: Path) -> None:
    table = pd.DataFrame(
        {"model": "lr", "bin": [0, 1], "predicted": [0.2, 0.8], "observed": [0.3, 0.7]}
    )
    with pytest.raises(DataError, match="run `metaselector analyse` again"):
        plots.calibration(tmp_path)
    (tmp_path / "analysis").mkdir()
    table.to_csv(tmp_path / "analysis" / "reliability.csv")
    for source in (table, tmp_path):
        (axes,) = plots.calibration(source)
        np.testing.assert_allclose(axes.lines[1].get_ydata(), [10, -10])
    curve = pd.DataFrame(
        {"model": "metaselector", "metric": "logloss", "baseline": "not adapted", "n": [0, 5]}
    ).assign(value=0.5, baseline_value=0.6, difference=-0.1, low=-0.2, high=0)
    from metaselector.evaluate.support_curve import NOT_ADAPTED

    levels, effects = plots.support_curve(curve.assign(baseline=NOT_ADAPTED))
    assert effects.get_xlabel() == "support rows"
    assert levels.get_ylabel().startswith("logloss")


def test_headroom_of_a_run_and_of_a_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file not found; run `metaselector headroom`"):
        plots.headroom(tmp_path)
    table = headroom([0, 1])
    table.to_csv(tmp_path / "headroom.csv", index=False)
    for source in (tmp_path, table):
        axes, strip = plots.headroom(source)
        assert axes.get_ylabel().startswith("gain in logloss")
        assert strip.get_xlabel() == "rows of evidence on the user"


def test_weights_by_step() -> None:
    trace = pd.DataFrame({"step": [0, 1], "weight_lr": [0.5, 0.2], "weight_fm": [0.5, 0.8]})
    user: Any = SimpleNamespace(trace=trace)
    axes = plots.weights_by_step(user)
    assert {line.get_label(): line.get_ydata().tolist() for line in axes.lines} == {
        "lr": [0.5, 0.2],
        "fm": [0.5, 0.8],
    }
    own = plt.figure().add_subplot()
    assert plots.weights_by_step(user, own) is own


def test_settings_of_matplotlib_stay() -> None:
    before = plt.rcParams.copy()
    plots.comparison(RESULTS)
    assert plt.rcParams == before
