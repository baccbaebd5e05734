"""Names from data and settings in figures."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from matplotlib.text import Text

from metaselector.report.explanation import explanation
from metaselector.report.figures.results import heterogeneity
from metaselector.report.figures.style import (
    finish,
    new_figure,
    row_labels,
    save,
    short_name,
    styled,
)
from metaselector.report.page.figures import svg

HOSTILE = {
    "$x^2$": "$x^2$",
    "5$ or 6$": "5$ or 6$",
    r"$\unknown{": r"$\unknown{",
    "a\n\x1b[31mb": r"a\n\x1b[31mb",
    "日本語 عربي \U0001f600": "日本語 عربي \U0001f600",
    "x" * 500: "x" * 19 + "..." + "x" * 18,
    "_a": "_a",
    "": "",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_is_shown_as_it_is_and_short(name: str) -> None:
    assert short_name(name) == HOSTILE[name]


def test_names_are_no_mathematics(tmp_path: Path) -> None:
    with styled():
        figure = new_figure(3)
        axes = figure.subplots()
        row_labels(axes, list(HOSTILE))
        axes.set_title("$x_$")
        finish(figure)
        assert [tick.get_text() for tick in axes.get_yticklabels()] == list(HOSTILE.values())
    save(figure, tmp_path / "a.png")
    assert svg(figure).startswith(b"<?xml")


def test_figures_take_any_name() -> None:
    counts = pd.DataFrame(
        [(0, name, 5, 0.1) for name in HOSTILE], columns=["seed", "model", "users", "share"]
    )
    heterogeneity(counts)


def test_an_explanation_takes_any_name() -> None:
    names = ["lr", r"$\unknown{"]
    weights = pd.DataFrame({"base_model": names, "before": 0.5, "after": 0.5})
    rows = pd.DataFrame(
        [("$x$", item, 1.0, 0, 0.1, 0.0, 0.2) for item in HOSTILE],
        columns=[
            "user",
            "item",
            "rating",
            "timestamp",
            "influence",
            "shift_lr",
            f"shift_{names[1]}",
        ],
    )
    figure = explanation("$x^", weights, rows)
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert "User $x^: mean weights on test" in texts
