"""Where the lead holds, on tables whose answer is known."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.suite_leads import Gap, Lead, is_rival, is_sibling, lead_of, rank_correlation
from benchmarks.suite_tables import read_tables
from tests.benchmarks.made_up import LOSSES, write_entry


def lead(folder: Path, losses: dict[str, float] = LOSSES, **options: object) -> Lead:
    write_entry(folder / "one", losses, **options)
    ((table,), _) = read_tables(folder, ("one",))
    return lead_of(table)


def test_siblings_begin_with_the_name_and_fair_fine_tuning_is_none() -> None:
    assert is_sibling("metaselector-paper")
    assert not is_sibling("user-finetuned-residuals")
    rivals = [row for row in (*LOSSES, "headroom", "chance", "lr-train") if is_rival(row)]
    assert rivals == [
        "lr",
        "fm",
        "uniform",
        "user-finetuned-plain",
        "user-finetuned",
        "user-finetuned-residuals",
        "lr-train",
    ]


def test_a_better_sibling_does_not_count(tmp_path: Path) -> None:
    found = lead(tmp_path)
    assert found.holds
    assert found.closest.row == "user-finetuned-residuals"
    assert found.closest.difference == pytest.approx(-0.02)
    assert found.fair.difference == pytest.approx(-0.03)
    assert found.gain == pytest.approx(0.06)  # fm
    assert found.headroom == pytest.approx(0.08)


@pytest.mark.parametrize("row", ["user-finetuned-residuals", "lr"])
def test_one_insignificant_row_ends_the_lead(tmp_path: Path, row: str) -> None:
    found = lead(tmp_path, p={row: 0.05})
    assert not found.holds
    assert [gap.row for gap in found.unbeaten] == [row]
    assert found.unbeaten[0].text.endswith("p = 0.050")


def test_a_significantly_better_row_ends_the_lead(tmp_path: Path) -> None:
    found = lead(tmp_path, {**LOSSES, "user-finetuned": 0.51})
    assert [gap.row for gap in found.unbeaten] == ["user-finetuned"]
    assert [gap.row for gap in found.better_gauc] == ["user-finetuned"]
    assert found.gauc.row == found.auc.row == "user-finetuned"
    assert found.gauc.difference == pytest.approx(-0.01)


def test_without_p_values_nothing_is_claimed(tmp_path: Path) -> None:
    found = lead(tmp_path, p=dict.fromkeys(LOSSES, math.nan))
    assert not found.is_tested
    assert not found.holds
    assert not found.better_gauc
    assert "p =" not in found.closest.text


def test_p_values_are_shown_at_most_as_precise_as_they_are() -> None:
    ends = ("fm", -0.01, -0.02, -0.005)
    assert Gap(*ends, 0.0104, 0.0042).text == "-0.0100 [-0.0200, -0.0050], p = 0.010"
    assert Gap(*ends, 0.00415, 0.00415).text.endswith("], p ≤ 0.0042")
    assert Gap(*ends, 0.0002).text.endswith("], p < 0.001")
    assert Gap(*ends, math.nan).named == "fm -0.0100 [-0.0200, -0.0050]"


def test_rank_correlation_is_spearmans(tmp_path: Path) -> None:
    leads = [
        lead(tmp_path / str(i), {**LOSSES, "user-finetuned-residuals": 0.53 + 0.01 * i})
        for i in range(3)
    ]
    assert [-each.closest.difference for each in leads] == pytest.approx([0.01, 0.02, 0.03])
    assert rank_correlation(leads, [1.0, 5.0, 900.0]) == pytest.approx(1)
    assert rank_correlation(leads, [3.0, 1.0, 2.0]) == pytest.approx(-0.5)
    assert np.isnan(rank_correlation(leads, [1.0, 1.0, 1.0]))
    assert np.isnan(rank_correlation(leads, [1.0, math.nan, 2.0]))
