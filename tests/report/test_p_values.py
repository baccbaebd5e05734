"""What the summary says about p-values and about intervals of few users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaselector.report.tables import write_tables
from tests.report.tiny_run import made_differences, made_results, write_run


def test_a_p_value_at_its_floor_is_shown_as_a_bound(tmp_path: Path) -> None:
    write_run(tmp_path, [0])
    write_tables(tmp_path)
    assert "+0.0300 [+0.0200, +0.0400], p ≤ 0.0041 |" in (tmp_path / "summary.md").read_text(
        "utf-8"
    )
    assert r"p $\leq$ 0.0041" in (tmp_path / "summary.tex").read_text("utf-8")


def test_differences_of_earlier_versions_have_no_floor(tmp_path: Path) -> None:
    write_run(tmp_path, [0])
    made_differences().drop(columns="p_floor").to_csv(tmp_path / "differences.csv", index=False)
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert "+0.0300 [+0.0200, +0.0400], p = 0.004 |" in text
    assert "≤" not in text


def test_too_few_resamples_have_no_p_values(tmp_path: Path) -> None:
    write_run(tmp_path, [0])
    none = dict.fromkeys(["p", "p_holm", "p_floor"], np.nan)
    made_differences().assign(**none).to_csv(tmp_path / "differences.csv", index=False)
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert "| -0.0200 [-0.0300, +0.1000] |\n" in text
    assert "+0.0300 [+0.0200, +0.0400] |" in text
    assert "no p-values, which need 2,000 resamples or more" in text
    assert "p = " not in text
    assert "Holm" not in text


@pytest.mark.parametrize(("users", "noted"), [(99, True), (100, False)])
def test_few_users_are_noted(tmp_path: Path, users: int, noted: bool) -> None:
    write_run(tmp_path, [0])
    made_results([0]).assign(n_users=users).to_csv(tmp_path / "results.csv", index=False)
    write_tables(tmp_path)
    text = (tmp_path / "summary.md").read_text("utf-8")
    assert (f"With {users} users, 95 % intervals are approximate" in text) == noted
