"""What the summary shows: a line a model, averaged over seeds, as numbers and as text."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.evaluate.comparisons import BEST_SINGLE, SIMPLIFIED, TARGET
from metaselector.report.groups import ORACLE, SINGLE, group_of, in_groups

RESULT_COLUMNS = (
    "dataset",
    "protocol",
    "seed",
    "model",
    "auc",
    "logloss",
    "rela_impr",
    "gauc",
    "gap_closed_auc",
    "gap_closed_logloss",
    "n_users",
    "n_test",
    "gauc_users",
)


class Shown(NamedTuple):
    """How a column of ``results.csv`` is shown.

    Attributes:
        name: the column.
        title: what it is called.
        pattern: format of the mean.
        scale: what values are multiplied with.
        lower_is_better: of two values.
    """

    name: str
    title: str
    pattern: str = "{:.4f}"
    scale: float = 1.0
    lower_is_better: bool = False


SHOWN = (
    Shown("auc", "AUC"),
    Shown("logloss", "logloss", lower_is_better=True),
    Shown("rela_impr", "RelaImpr %", "{:+.2f}"),
    Shown("gauc", "GAUC"),
    Shown("gap_closed_logloss", "gap closed %", "{:.1f}", scale=100.0),
)


class Compared(NamedTuple):
    """How a family of ``differences.csv`` is shown: a column of logloss differences.

    Attributes:
        family: of the differences.
        row: the column of ``differences.csv`` that names the line.
        title: what it is called.
        with_p: whether Holm's p-value is shown too.
    """

    family: str
    row: str
    title: str
    with_p: bool


COMPARED = (
    Compared(BEST_SINGLE, "model", "Δ logloss, 95 %", with_p=False),
    Compared(TARGET, "baseline", f"{TARGET} − row, 95 %, Holm's p", with_p=True),
    Compared(SIMPLIFIED, "baseline", "simplified − row, 95 %, Holm's p", with_p=True),
)
_DIFFERENCE = ("difference", "low", "high", "p_holm")


class Cell(NamedTuple):
    """Text of a cell, and whether it is the best of its column."""

    text: str
    best: bool = False


Groups = list[tuple[str, list[tuple[str, list[Cell]]]]]


class Summary(NamedTuple):
    """What every form of a table is made of.

    Attributes:
        name: data set and protocol.
        notes: sentences that say how to read the table.
        titles: of the columns after the model's.
        groups: lines by group: name of the group, and of each line model and cells.
        command: what made the run.
    """

    name: str
    notes: list[str]
    titles: list[str]
    groups: Groups
    command: str


def best_single(results: pd.DataFrame) -> pd.DataFrame:
    """(seed, model) of the models that RelaImpr and gap closed are relative to: their own are 0.

    Where a combination or an oracle does the very same, they are not it.
    """
    # With few test rows another model may have the same AUC, but hardly the same logloss as well.
    same_loss = results["gap_closed_logloss"].fillna(0) == 0
    single = results["model"].map(group_of) == SINGLE
    found = results.loc[(results["rela_impr"] == 0) & same_loss & single, ["seed", "model"]]
    return found.drop_duplicates("seed")


def summary_frame(results: pd.DataFrame, differences: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average over seeds.

    Args:
        results: ``results.csv``.
        differences: ``differences.csv``; only logloss is used.

    Returns:
        Indexed by model, sorted by group: ``group``; for every column of :data:`SHOWN` its mean
        and, as ``<column>_std``, the sample standard deviation (nan for one seed), scaled as
        shown; for every family of :data:`COMPARED`, ``<family>_difference``, the ends ``_low`` and
        ``_high`` of its 95 % interval, and ``_p_holm``, nan where there is none.
    """
    by_model = results.groupby("model")
    columns: dict[str, pd.Series] = {}
    for shown in SHOWN:
        columns[shown.name] = by_model[shown.name].mean() * shown.scale
        columns[f"{shown.name}_std"] = by_model[shown.name].std() * shown.scale
    frame = pd.DataFrame(columns).reindex(in_groups(results["model"]))
    frame.insert(0, "group", [group_of(model) for model in frame.index])
    if differences is None:
        return frame
    for family, row, *_ in COMPARED:
        of_family = (differences["family"] == family) & (differences["metric"] == "logloss")
        values = differences[of_family].set_index(row)[list(_DIFFERENCE)]
        frame = frame.join(values.add_prefix(f"{family}_"))
    return frame


def compared(frame: pd.DataFrame) -> list[Compared]:
    """The families that :func:`summary_frame` holds."""
    return [
        each
        for each in COMPARED
        if f"{each.family}_low" in frame and frame[f"{each.family}_low"].notna().any()
    ]


def cells(frame: pd.DataFrame) -> dict[str, list[Cell]]:
    """Text of every line of :func:`summary_frame` by model; the best of a column is no oracle's."""
    columns: list[list[Cell]] = []
    candidates = (frame["group"] != ORACLE).to_numpy()
    for shown in SHOWN:
        means = [shown.pattern.format(value) for value in frame[shown.name]]
        # Compared as shown, so that two lines that look equal are both the best.
        numbers = pd.Series([float(text) for text in means])
        eligible = numbers[candidates]
        best = eligible.min() if shown.lower_is_better else eligible.max()
        pattern = shown.pattern.replace("+", "")
        columns.append(
            [
                Cell(_with_std(mean, std, pattern), bool(candidate and number == best))
                for mean, std, number, candidate in zip(
                    means, frame[f"{shown.name}_std"], numbers, candidates, strict=True
                )
            ]
        )
    for family, _, _, with_p in compared(frame):
        values = frame[[f"{family}_{name}" for name in _DIFFERENCE]].to_numpy(np.float64)
        columns.append([Cell(_difference(*line, with_p=with_p)) for line in values])
    return dict(zip(frame.index, map(list, zip(*columns, strict=True)), strict=True))


def mean_cells(results: pd.DataFrame, models: Sequence[str], metric: str) -> list[Cell]:
    """A metric of `models`, averaged over seeds; the best is no oracle's.

    Args:
        metric: a column whose name ends in auc or logloss.
    """
    values = results.groupby("model")[metric]
    means, stds = values.mean(), values.std()
    shown = {model: f"{means[model]:.4f}" for model in models}
    eligible = [text for model, text in shown.items() if group_of(model) != ORACLE]
    best = (min if metric.endswith("logloss") else max)(eligible)
    return [
        Cell(
            text if pd.isna(stds[model]) else f"{text} ± {stds[model]:.4f}",
            text == best and group_of(model) != ORACLE,
        )
        for model, text in shown.items()
    ]


def titles(frame: pd.DataFrame) -> list[str]:
    """Titles of the columns of :func:`cells`."""
    return [shown.title for shown in SHOWN] + [each.title for each in compared(frame)]


def _with_std(mean: str, std: float, pattern: str) -> str:
    if mean.endswith("nan"):
        return ""
    return mean if pd.isna(std) else f"{mean} ± {pattern.format(std)}"


def _difference(difference: float, low: float, high: float, p: float, *, with_p: bool) -> str:
    if math.isnan(low):
        return ""
    text = f"{difference:+.4f} [{low:+.4f}, {high:+.4f}]"
    if with_p:
        text += f", p = {p:.3f}" if p >= 0.001 else ", p < 0.001"
    return text
