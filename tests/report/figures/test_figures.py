"""Figures: what they show, that nothing is cut off, and that nothing leaks."""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.text import Text

from metaselector.common.errors import DataError
from metaselector.evaluate.results import REQUIRED
from metaselector.evaluate.support_curve import DIFFERENCE_COLUMNS
from metaselector.report.figures.differences import compared_rows
from metaselector.report.figures.numbers import learned_numbers
from metaselector.report.figures.results import comparison, heterogeneity, weights
from metaselector.report.figures.run import FIGURES, write_figures
from metaselector.report.figures.style import GROUP_COLOURS, WIDTH
from metaselector.report.figures.support_curve import support_curve
from metaselector.report.figures.training import learned_rates, learning_curves
from metaselector.report.support import SUPPORT_COLUMNS
from tests.report.invented import differences as invented_differences
from tests.report.invented import headroom as invented_headroom

_MODELS = {  # AUC, logloss
    "lr": (0.7861, 0.5588),
    "fm": (0.7860, 0.5625),
    "uniform": (0.7897, 0.5555),
    "metaselector-simplified": (0.7924, 0.5515),
    "metaselector": (0.7963, 0.5468),
    "oracle-sample": (0.8472, 0.4873),
    "oracle-user": (0.8097, 0.5310),
}
_SELECTORS = ("metaselector-simplified", "metaselector")


def _frames(seeds: list[int]) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    results = pd.DataFrame(
        [
            ("tiny", "warm", seed, model, area + 0.001 * seed, loss, 0, 0.7, 0, 0, 9, 99, 8)
            for seed in seeds
            for model, (area, loss) in _MODELS.items()
        ],
        columns=list(REQUIRED),
    )
    best_counts = pd.DataFrame(
        [(seed, model, 45 + seed, 0.45) for seed in seeds for model in ("lr", "fm")],
        columns=["seed", "model", "users", "share"],
    )
    weight_rows = []
    for seed in seeds:
        for model in _SELECTORS:
            for row, weight in enumerate(rng.random(50)):
                weight_rows += [
                    (seed, model, "u", row, "lr", weight),
                    (seed, model, "u", row, "fm", 1 - weight),
                ]
    history = pd.DataFrame(
        [
            (seed, model, stage, epoch, 0.6 - 0.01 * epoch, 0.6 + 0.002 * (epoch - 3) ** 2)
            for seed in seeds
            for model, stage in (("lr", "train"), ("lr", "refit"), ("metaselector", "meta-train"))
            for epoch in range(1, 6)
        ],
        columns=["seed", "model", "stage", "epoch", "train_loss", "valid_loss"],
    )
    history.loc[history["stage"] == "refit", "valid_loss"] = np.nan
    rates = pd.DataFrame(
        [
            (seed, model, epoch, parameter, group, 0.1 - 0.05 * epoch, -0.2, 0.2)
            for seed in seeds
            for model in _SELECTORS
            for parameter, group in (("base_models.lr.bias", "lr"), ("selector.gate", "selector"))
            for epoch in range(4)
        ],
        columns=["seed", "model", "epoch", "parameter", "group", "mean", "low", "high"],
    )
    numbers = pd.DataFrame(
        [
            (seed, model, epoch, parameter, group, 20.0 - epoch, 2.0, 38.0)
            for seed in seeds
            for model in _SELECTORS
            for parameter, group in (
                ("support/half_life", "support: half life"),
                ("residuals/strength", "residuals: strength"),
            )
            for epoch in range(4)
        ],
        columns=list(rates),
    )
    support = pd.DataFrame(
        [
            ("tiny", seed, model, size, area + 0.0001 * size, loss - 0.0001 * size, 9, 99)
            for seed in seeds
            for size in (5, 10, 20, 40)
            for model, (area, loss) in _MODELS.items()
        ],
        columns=list(SUPPORT_COLUMNS),
    )
    columns = ["seed", "model", "user", "row", "base_model", "weight"]
    curve = pd.DataFrame(
        [
            (n, model, "not-adapted", metric, 0.55 + change, 0.55, change, change - 0.01, 0.2)
            for n in (0, 1, 40)
            for model, change in (("user-finetuned", 0.1), ("metaselector", -0.01 * n))
            for metric in ("logloss", "gauc")
        ],
        columns=list(DIFFERENCE_COLUMNS),
    )
    return {
        "differences": compared_rows(invented_differences()),
        "comparison": results,
        "support_sizes": support,
        "support_curve": curve,
        "heterogeneity": best_counts,
        "headroom": invented_headroom(seeds),
        "weights": pd.DataFrame(weight_rows, columns=columns),
        "learning_curves": history,
        "learned_rates": rates,
        "learned_numbers": numbers,
    }


def _write(run_dir: Path, seeds: list[int]) -> Path:
    frames = _frames(seeds)
    frames["learned_rates"] = pd.concat([frames["learned_rates"], frames.pop("learned_numbers")])
    for name, frame in frames.items():
        path = run_dir / FIGURES[name].file
        if path.suffix == ".parquet":
            frame.to_parquet(path)
        else:
            frame.to_csv(path, index=False)
    return run_dir


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
@pytest.mark.parametrize("name", FIGURES)
def test_fits_a_column_and_can_be_read(name: str, seeds: list[int]) -> None:
    figure = FIGURES[name].draw(_frames(seeds)[name])
    assert figure.get_figwidth() == WIDTH
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text()]
    assert texts
    assert min(text.get_fontsize() for text in texts) >= 7
    drawn = figure.get_tightbbox()  # in inches
    assert drawn.x0 >= 0
    assert drawn.y0 >= 0
    assert drawn.x1 <= figure.get_figwidth()
    assert drawn.y1 <= figure.get_figheight()


def _labels(figure: Figure, panel: int = 0) -> list[str]:
    return [label.get_text() for label in figure.axes[panel].get_yticklabels()]


def test_comparison_shows_the_values() -> None:
    figure = comparison(_frames([0])["comparison"])
    assert _labels(figure) == [model for model in _MODELS if not model.startswith("oracle")]
    for panel, axes in enumerate(figure.axes):
        dots = [container[0].get_xdata()[0] for container in axes.containers]
        assert dots == [_MODELS[model][panel] for model in _labels(figure)]
        lines = {line.get_linestyle(): line.get_xdata()[0] for line in axes.lines}
        assert lines["--"] == _MODELS["oracle-user"][panel]
        assert [text.get_text()[-5:] for text in axes.texts if "←" in text.get_text()] == (
            ["0.487"] * panel  # far below the models: named at the edge
        )
    colour = figure.axes[0].containers[-1][0].get_color()
    assert to_hex(colour).upper() == GROUP_COLOURS["MetaSelector"]


def test_comparison_leaves_bounds_out() -> None:
    results = _frames([0])["comparison"]
    bound = results.iloc[[0]].assign(model="headroom", auc=np.nan, logloss=0.1)
    without, figure = comparison(results), comparison(pd.concat([results, bound]))
    assert _labels(figure) == _labels(without)
    for axes, other in zip(figure.axes, without.axes, strict=True):
        assert axes.get_xlim() == other.get_xlim()
        assert len(axes.lines) == len(other.lines)


def test_comparison_without_oracles_and_of_one_model() -> None:
    results = _frames([0])["comparison"]
    assert len(comparison(results[results["model"] == "lr"]).axes) == 2


def test_heterogeneity_shows_the_shares() -> None:
    figure = heterogeneity(_frames([0, 2])["heterogeneity"])
    assert _labels(figure) == ["lr", "fm"]
    assert [bar.get_width() for bar in figure.axes[0].patches] == [45, 45]
    assert [text.get_text() for text in figure.axes[0].texts] == ["46 users"] * 2


def test_weights_have_a_panel_a_base_model() -> None:
    figure = weights(_frames([0])["weights"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["lr", "fm"]
    top = figure.axes[0].get_ylim()[1]
    for axes in figure.axes:
        assert max(patch.get_data().values.max() for patch in axes.patches) < top


def test_learning_curves_mark_the_best_epoch() -> None:
    figure = learning_curves(_frames([0])["learning_curves"])
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["lr", "metaselector"]
    dots = [line.get_xdata()[0] for line in figure.axes[1].lines if line.get_marker() == "o"]
    assert dots == [3]


def test_learned_rates_end_where_training_ends() -> None:
    figure = learned_rates(_frames([0])["learned_rates"])
    *_, last = figure.axes
    assert _labels(figure, -1) == [
        "metaselector-simplified", "lr.bias", "selector.gate",
        "metaselector", "lr.bias", "selector.gate",
    ]  # fmt: skip
    ends = [line.get_xdata()[0] for line in last.lines if line.get_marker() == "o"]
    assert ends == pytest.approx([-0.05] * 4)


def test_learned_rates_of_many_parameters_are_groups_only() -> None:
    one = _frames([0])["learned_rates"].iloc[:4]
    many = pd.concat([one.assign(parameter=f"p{i}") for i in range(50)])
    assert len(learned_rates(many).axes) == 1


def test_the_support_curve_shows_levels_and_intervals() -> None:
    figure = support_curve(_frames([0])["support_curve"])
    levels, effects = figure.axes
    assert [label.get_text() for label in effects.get_xticklabels()] == ["0", "1", "40"]
    shown = {line.get_label(): line.get_ydata().tolist() for line in levels.lines}
    assert shown["not-adapted"] == [0.55] * 3
    assert shown["user-finetuned"] == pytest.approx([0.65] * 3)
    assert shown["metaselector"] == pytest.approx([0.55, 0.54, 0.15])
    assert len(effects.lines) == 3  # zero and two models
    _, band = effects.collections
    assert band.get_datalim(effects.transData).y0 == pytest.approx(-0.41)
    assert band.get_datalim(effects.transData).y1 == pytest.approx(0.2)


def test_numbers_have_a_panel_each_and_a_line_a_model() -> None:
    figure = learned_numbers(_frames([0, 1])["learned_numbers"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["support: half life", "residuals: strength"]
    for axes in figure.axes:
        assert [list(line.get_ydata()) for line in axes.lines] == [[20, 19, 18, 17]] * 2


@pytest.mark.parametrize("kind", ["rates", "numbers"])
def test_rates_and_numbers_do_not_need_each_other(tmp_path: Path, kind: str) -> None:
    """A rule without learned rates may have learned numbers, and the other way round."""
    _write(tmp_path, [0])
    _frames([0])[f"learned_{kind}"].to_csv(tmp_path / "rates.csv", index=False)
    names = {path.stem for path in write_figures(tmp_path)}
    assert names & {"learned_rates", "learned_numbers"} == {f"learned_{kind}"}


def test_writes_every_figure(tmp_path: Path) -> None:
    written = write_figures(_write(tmp_path, [0]))
    assert written == [tmp_path / "figures" / f"{name}.png" for name in FIGURES]
    assert sorted((tmp_path / "figures").iterdir()) == sorted(written)
    for path in written:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_same_data_gives_same_bytes_whatever_the_users_settings(tmp_path: Path) -> None:
    _write(tmp_path, [0])
    first = [path.read_bytes() for path in write_figures(tmp_path)]
    with matplotlib.rc_context({"font.size": 20, "lines.linewidth": 9, "savefig.bbox": "tight"}):
        before = dict(matplotlib.rcParams)
        second = [path.read_bytes() for path in write_figures(tmp_path)]
        assert dict(matplotlib.rcParams) == before
    assert first == second


def test_skips_what_has_no_data(tmp_path: Path) -> None:
    _write(tmp_path, [0])
    (tmp_path / "rates.csv").unlink()
    pd.read_csv(tmp_path / "history.csv").iloc[:0].to_csv(tmp_path / "history.csv", index=False)
    names = [path.stem for path in write_figures(tmp_path)]
    gone = {"learning_curves", "learned_rates", "learned_numbers"}
    assert names == [name for name in FIGURES if name not in gone]


def test_needs_results(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"results.csv: file not found"):
        write_figures(tmp_path)


def test_comparison_where_a_metric_is_undefined() -> None:
    results = _frames([0])["comparison"]
    comparison(results.assign(auc=np.nan))
    comparison(results.assign(auc=results["auc"].where(results["model"] != "lr")))
