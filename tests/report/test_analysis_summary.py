"""Figures and page of an analysis: what they show, that they can be read, for 1 and 5 seeds."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text

from metaselector.common.errors import DataError
from metaselector.report.analysis_summary import NOTHING, write_analysis_summary
from metaselector.report.figures.analysis import ANALYSIS_FIGURES, write_analysis_figures
from metaselector.report.figures.style import WIDTH

LEARNED = ("metaselector-simplified", "metaselector")
ROWS = ("lr", "fm", "deepfm", "deepfm-train", "stacking-lightgbm", *LEARNED, "oracle-user")


def tables(seeds: list[int], base_models: tuple[str, ...]) -> dict[str, pd.DataFrame]:
    """Tables as an analysis writes them, with invented numbers."""
    rng = np.random.default_rng(0)
    kinds = ("train+valid", "train")

    def table(columns: str, *lines: tuple[object, ...]) -> pd.DataFrame:
        return pd.DataFrame(list(lines), columns=columns.split())

    by_kind = [(seed, kind) for seed in seeds for kind in kinds]
    facts = {
        "history_rows": (18, 26, 663),
        "rows_per_active_day": (2.774, 20.5, 663),
        "drift": (0, 0.0818, 0.38741),
        "item_train_rows": (0, 55, 12_345),
    }
    curves = table(
        "seed model epoch seconds valid_loss best_so_far",
        *(
            (seed, model, epoch, 3.5 * epoch + seed + 1, 0.534 - epoch / 1000, 0.534 - epoch / 1000)
            for seed in seeds
            for model in LEARNED
            for epoch in range(4)
        ),
    )
    return {
        "best_models": table(
            "seed window fitted_on model users share",
            *((s, "test", k, m, 10 + s, 1 / 3) for s, k in by_kind for m in base_models),
        ),
        "confusion": table(
            "seed fitted_on valid_best test_best users",
            *((s, k, a, b, 1 + (a == b)) for s, k in by_kind for a in base_models
              for b in base_models),
        ),
        "stability": table(
            "seed fitted_on users kept chance kappa",
            *((s, k, 943, 0.4 + s / 100, 0.35, 0.1) for s, k in by_kind),
        ),
        "correlation": table(
            "seed fitted_on model spearman users",
            *((s, k, m, 0.1 + s / 100, 943) for s, k in by_kind for m in base_models),
        ),
        "weights": table(
            "seed model base_model mean std q05 q25 q50 q75 q95",
            *((s, m, b, 0.3, 0.1, 0.1, 0.2, 0.3, 0.4, 0.5) for s in seeds for m in LEARNED
              for b in base_models),
        ),
        "entropy": table(
            "seed model user entropy rows",
            *((s, m, f"u{u}", value, 3) for s in seeds for m in ("sample-selector", *LEARNED)
              for u, value in enumerate(rng.random(30))),
        ),
        "rows": table("row user", (0, "u0")),
        "breakdown": table(
            "fact bin from to model users rows improvement low high baseline",
            *((fact, i, low, high, model, 190, 2000, 0.005 * i, 0.005 * i - 0.01, 0.005 * i + 0.02,
               "deepfm")
              for fact, (low, *_, high) in facts.items()
              for i in range(5)
              for model in ("stacking-lightgbm", *LEARNED)),
        ),
        "rates": table(
            "seed model group epoch parameters mean low high",
            *((s, m, "selector", 1, 7, 0.5, 0.1, 0.9) for s in seeds for m in LEARNED),
        ),
        "reliability": table(
            "seed model bin rows predicted observed",
            *((s, m, b, 696, b / 15 + 0.02, b / 15 + 0.04) for s in seeds for m in ROWS
              for b in range(15)),
        ),
        "calibration": table(
            "seed model bins ece slope intercept",
            *((s, m, 15, 0.02, np.nan if m == "lr" else 0.9, 0.05) for s in seeds for m in ROWS),
        ),
        "cost_curves": curves,
        "cost": table(
            "seed model budget loss_in_budget best_loss seconds_to_best seconds",
            *((s, m, 20.0, 0.534, 0.531, 10.0, 20.0 + s) for s in seeds for m in LEARNED),
        ),
        "steps": table(
            "seed model steps trained_steps auc logloss",
            *((s, m, n, 2, 0.81 - n / 100, 0.52 + n / 100 + s / 1000) for s in seeds
              for m in LEARNED for n in (0, 1, 2, 3, 5, 10)),
        ),
    }  # fmt: skip


def write(run_dir: Path, seeds: list[int], base_models: tuple[str, ...] = ROWS[:3]) -> Path:
    directory = run_dir / "analysis"
    directory.mkdir(parents=True)
    for name, table in tables(seeds, base_models).items():
        table.to_csv(directory / f"{name}.csv", index=False)
    (run_dir / "environment.json").write_text(json.dumps({"command": "metaselector reproduce"}))
    return directory


def overlapping(figure: Figure) -> list[str]:
    """Pairs of texts that lie on one another."""
    figure.draw_without_rendering()
    unseen = set()  # ticks that lie outside of what an axis shows
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        unseen |= {tick.label1 for tick in axis.majorTicks if not low <= tick.get_loc() <= high}
    texts = set(figure.findobj(lambda t: isinstance(t, Text) and t.get_visible())) - unseen
    boxes = [(t.get_text(), t.get_window_extent().padded(-0.5)) for t in texts if t.get_text()]
    return [
        f"{a} | {b}"
        for i, (a, first) in enumerate(boxes)
        for b, second in boxes[i + 1 :]
        if first.overlaps(second)
    ]


@pytest.mark.parametrize(
    ("base_models", "seeds"),
    [
        (("lr",), [0]),
        (("lr", "fm"), [0, 1, 2, 3, 4]),
        (tuple(f"deepfm-variant-{i}" for i in range(7)), [0]),
    ],
    ids=["1 base model", "5 seeds", "7 base models"],
)
@pytest.mark.parametrize("name", ANALYSIS_FIGURES)
def test_fits_a_column_and_can_be_read(
    name: str, base_models: tuple[str, ...], seeds: list[int]
) -> None:
    source = ANALYSIS_FIGURES[name]
    figure = source.draw(tables(seeds, base_models)[source.table])
    assert figure.get_figwidth() == WIDTH
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert min(text.get_fontsize() for text in texts) >= 7
    drawn = figure.get_tightbbox()  # in inches
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()
    assert not overlapping(figure)


def test_overlaps_are_seen() -> None:
    """Guards the test above."""
    figure = Figure()
    for x in (0.5, 0.51):
        figure.text(x, 0.5, "text")
    assert overlapping(figure) == ["text | text"]


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2, 3, 4]], ids=["1 seed", "5 seeds"])
def test_writes_every_figure_and_the_page(tmp_path: Path, seeds: list[int]) -> None:
    directory = write(tmp_path, seeds)
    written = write_analysis_figures(directory)
    assert written == [directory / "figures" / f"{name}.png" for name in ANALYSIS_FIGURES]
    path = write_analysis_summary(tmp_path)
    assert path == directory / "summary.md"
    text = path.read_text(encoding="utf-8")
    assert f"metaselector analyse --run {tmp_path}" in text
    assert "`metaselector reproduce`" in text
    for figure in written:
        assert f"]({figure.relative_to(directory)})" in text
    assert NOTHING not in text
    assert ("± " in text.split("several seeds")[1].split("##", 1)[1]) == (len(seeds) > 1)


def test_numbers_of_the_page(tmp_path: Path) -> None:
    write(tmp_path, [0, 1])
    lines = write_analysis_summary(tmp_path).read_text(encoding="utf-8").splitlines()
    assert "| train | 943 | 40.5 ± 0.7 | 35.0 | +0.100 |" in lines
    assert "| metaselector | 10 | 2 | 0.7100 | 0.6205 ± 0.0007 |" in lines
    assert "| lr | 15 | 0.0200 |  | +0.050 |" in lines  # its slope is nan
    assert any(line.startswith("| deepfm | drift | 0 | 0.3874 | metaselector |") for line in lines)


def test_what_has_nothing_is_not_shown_and_nothing_old_stays(tmp_path: Path) -> None:
    directory = write(tmp_path, [0])
    write_analysis_figures(directory)
    for name in ("cost_curves", "cost"):
        empty = pd.read_csv(directory / f"{name}.csv").iloc[:0]
        empty.to_csv(directory / f"{name}.csv", index=False)
    entropy = pd.read_csv(directory / "entropy.csv").assign(entropy=np.nan)  # one base model
    entropy.to_csv(directory / "entropy.csv", index=False)
    names = {path.stem for path in write_analysis_figures(directory)}
    assert names == ANALYSIS_FIGURES.keys() - {"cost", "entropy"}
    assert {path.stem for path in (directory / "figures").iterdir()} == names
    text = write_analysis_summary(tmp_path).read_text(encoding="utf-8")
    assert text.count(NOTHING) == 1
    assert "cost.png" not in text


def test_same_tables_give_same_bytes(tmp_path: Path) -> None:
    directory = write(tmp_path, [0])
    first = [path.read_bytes() for path in write_analysis_figures(directory)]
    shutil.rmtree(directory / "figures")
    assert [path.read_bytes() for path in write_analysis_figures(directory)] == first


def test_a_missing_table(tmp_path: Path) -> None:
    directory = write(tmp_path, [0])
    (directory / "steps.csv").unlink()
    for action in (
        lambda: write_analysis_figures(directory),
        lambda: write_analysis_summary(tmp_path),
    ):
        with pytest.raises(DataError, match=r"steps.csv: file not found; run `metasel"):
            action()
