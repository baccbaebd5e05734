"""The table of the support curve, and the sentence about harm."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.evaluate.support_curve import BASELINES, COLUMNS, DIFFERENCE_COLUMNS
from metaselector.report.support_curve import (
    CURVE_DIFFERENCES_FILE,
    CURVE_FILE,
    harm,
    read_support_curve,
)

LOSS = {"not-adapted": 0.6, "user-finetuned": 0.59, "metaselector": 0.58}
SIZES = (0, 1, 10)


def curve(seeds: list[int]) -> pd.DataFrame:
    rows = [
        (seed, model, n, loss - n / 1000 + seed / 100, 0.7, 0.65)
        for seed in seeds
        for model, loss in LOSS.items()
        for n in SIZES
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def differences(highs: tuple[float, float, float] = (0.0, 0.0005, -0.01)) -> pd.DataFrame:
    """`highs` are those of joint MetaSelector's logloss to not adapting."""
    rows = []
    for n, high in zip(SIZES, highs, strict=True):
        for model in ("user-finetuned", "metaselector"):
            for baseline in BASELINES:
                for metric in ("logloss", "gauc"):
                    joint = (model, baseline, metric) == ("metaselector", "not-adapted", "logloss")
                    top = high if joint else 0.3
                    if model != baseline:
                        rows.append((n, model, baseline, metric, 0.5, 0.6, -1e-9, -0.2, top))
    return pd.DataFrame(rows, columns=list(DIFFERENCE_COLUMNS))


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    curve([0]).to_csv(tmp_path / CURVE_FILE, index=False)
    differences().to_csv(tmp_path / CURVE_DIFFERENCES_FILE, index=False)
    return tmp_path


def test_a_column_for_each_number_and_a_group_for_each_comparison(run_dir: Path) -> None:
    summary = read_support_curve(run_dir, "tiny", "metaselector")
    assert summary is not None
    assert summary.titles == ["0 rows", "1 row", "10 rows"]
    groups = {
        name: {model: [cell.text for cell in cells] for model, cells in lines}
        for name, lines in summary.groups
    }
    assert list(groups) == [
        "logloss",
        "logloss − not-adapted, 95 %",
        "logloss − user-finetuned, 95 %",
        "GAUC",
    ]
    assert groups["logloss"]["metaselector"] == ["0.5800", "0.5790", "0.5700"]
    assert groups["logloss − not-adapted, 95 %"]["metaselector"] == [
        "+0.0000 [-0.2000, +0.0000]",
        "+0.0000 [-0.2000, +0.0005]",
        "+0.0000 [-0.2000, -0.0100]",
    ]
    assert list(groups["logloss − user-finetuned, 95 %"]) == ["metaselector"]
    assert summary.notes[0] == harm(differences())
    assert summary.notes[1].startswith("Seed 0;")


def test_deviations_over_seeds(run_dir: Path) -> None:
    curve([0, 1]).to_csv(run_dir / CURVE_FILE, index=False)
    summary = read_support_curve(run_dir, "tiny", "metaselector")
    assert summary is not None
    (_, cells), *_ = summary.groups[0][1]
    assert cells[0].text == "0.6050 ± 0.0071"
    assert summary.notes[-1] == "Mean ± standard deviation over seeds."


def test_without_gauc_its_group_is_left_out(run_dir: Path) -> None:
    curve([0]).assign(gauc=None).to_csv(run_dir / CURVE_FILE, index=False)
    summary = read_support_curve(run_dir, "tiny", "metaselector")
    assert summary is not None
    assert "GAUC" not in [name for name, _ in summary.groups]


@pytest.mark.parametrize(
    ("highs", "said"),
    [
        ((0.0, 0.0005, -0.01), "Adapting never hurts, however few the support rows"),
        ((0.0, 0.0006, -0.01), "Adapting may hurt with 1 support row"),
        ((0.0, 0.2, 0.001), "Adapting may hurt with 1, 10 support rows"),
    ],
)
def test_says_where_adapting_may_harm(highs: tuple[float, float, float], said: str) -> None:
    assert harm(differences(highs)).partition(":")[0] == said


def test_an_older_run_has_none(tmp_path: Path) -> None:
    assert read_support_curve(tmp_path, "tiny", "metaselector") is None


def test_damage_is_an_error(run_dir: Path) -> None:
    path = run_dir / CURVE_DIFFERENCES_FILE
    differences().assign(high="a").to_csv(path, index=False)
    with pytest.raises(DataError, match="text instead of numbers"):
        read_support_curve(run_dir, "tiny", "metaselector")
    path.unlink()
    with pytest.raises(DataError, match="file not found"):
        read_support_curve(run_dir, "tiny", "metaselector")
