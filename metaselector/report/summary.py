"""Contents of a summary table: one line per model, averaged over seeds, as numbers and text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd

from metaselector.evaluate.comparisons import BEST_SINGLE, SIMPLIFIED, TARGET
from metaselector.evaluate.lists import COLUMNS as OF_LISTS
from metaselector.evaluate.results import ADDED
from metaselector.report.groups import ORACLE, SINGLE, group_of, in_groups

OVER_SEEDS = "Mean ± standard deviation over seeds."
"""Note of every table over several seeds."""


class Shown(NamedTuple):
    """How to show a column of ``results.csv``.

    Attributes:
        name: the column.
        title: title in the table.
        pattern: format of the mean.
        scale: factor applied to the values.
        lower_is_better: whether lower values are better.
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
    Shown("gap_closed_headroom", "headroom closed %", "{:.1f}", scale=100.0),
)
RANKING = (Shown("ndcg_10", "NDCG@10"), Shown("mrr", "MRR"))
WITHIN_LISTS = (
    Shown("list_auc", "list AUC"),
    Shown("list_ndcg_10", "list NDCG@10"),
    Shown("list_mrr", "list MRR"),
)


class Compared(NamedTuple):
    """How to show a family of comparisons of ``differences.csv``: a column of logloss differences.

    Attributes:
        family: the family of comparisons.
        row: the column of ``differences.csv`` that identifies the line.
        title: title in the table.
        with_p: whether to show Holm's p-value.
    """

    family: str
    row: str
    title: str
    with_p: bool


COMPARED = (
    Compared(BEST_SINGLE, "model", "Δ logloss, 95 %", with_p=False),
    Compared(TARGET, "baseline", f"{TARGET} − row, 95 %", with_p=True),
    Compared(SIMPLIFIED, "baseline", "simplified − row, 95 %", with_p=True),
)
DIFFERENCE = ("difference", "low", "high", "p_holm", "p_floor")
WITH_P = ", Holm's p"
"""Ends the title of a column with p-values."""


class Cell(NamedTuple):
    """Text of a cell, and whether it is the best one of its column."""

    text: str
    best: bool = False


Groups = list[tuple[str, list[tuple[str, list[Cell]]]]]


class Summary(NamedTuple):
    """Contents of a table, shared by all output formats.

    Attributes:
        name: data set and protocol.
        notes: sentences that explain the table.
        titles: titles of the columns after the model.
        groups: lines by group: the group's name, and model and cells of each line.
        command: the command that created the run; empty in a further table.
        further: further tables of the same rows.
        about: by note, titles of the columns and names of the rows that it explains; a note that
            is missing here is about the whole table.
    """

    name: str
    notes: list[str]
    titles: list[str]
    groups: Groups
    command: str = ""
    further: tuple[Summary, ...] = ()
    about: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def seed_list(results: pd.DataFrame) -> str:
    """``Seed 0`` or ``Seeds 0, 1, 2``, from the column ``seed``."""
    seeds = list(dict.fromkeys(results["seed"]))
    return f"{'Seeds' if len(seeds) > 1 else 'Seed'} {', '.join(map(str, seeds))}"


def best_single(results: pd.DataFrame) -> pd.DataFrame:
    """(seed, model) of the baselines of RelaImpr and gap closed, whose own values are 0.

    Only single models count, even if a combination or an oracle has the same values.
    """
    # With few test rows, another model may have the same AUC, but hardly the same logloss too.
    same_loss = results["gap_closed_logloss"].fillna(0) == 0
    single = results["model"].map(group_of) == SINGLE
    best = results.loc[(results["rela_impr"] == 0) & same_loss & single, ["seed", "model"]]
    return best.drop_duplicates("seed")


def summary_frame(results: pd.DataFrame, differences: pd.DataFrame | None = None) -> pd.DataFrame:
    """Average over seeds.

    Args:
        results: ``results.csv``.
        differences: ``differences.csv``; only logloss is used.

    Returns:
        Indexed by model and sorted by group, with the columns ``group``; mean and sample standard
        deviation ``<column>_std`` (nan for one seed) of every column of :data:`SHOWN` that the
        results have, scaled as shown; and ``<family>_difference``, ``_low`` and ``_high`` of the
        95 % interval, ``_p_holm`` and ``_p_floor`` of every family of :data:`COMPARED`, nan without
        a comparison.
    """
    frame = means(results, SHOWN)
    if differences is None:
        return frame
    for family, row, *_ in COMPARED:
        of_family = (differences["family"] == family) & (differences["metric"] == "logloss")
        values = differences[of_family].set_index(row).reindex(columns=list(DIFFERENCE))
        frame = frame.join(values.add_prefix(f"{family}_"))
    return frame


def means(results: pd.DataFrame, wanted: Sequence[Shown]) -> pd.DataFrame:
    """The columns of :func:`summary_frame` without comparisons; older results lack some."""
    by_model = results.groupby("model")
    columns: dict[str, pd.Series] = {}
    for shown in wanted:
        if shown.name in (*ADDED, *OF_LISTS) and (
            shown.name not in results or results[shown.name].isna().all()
        ):
            continue
        columns[shown.name] = by_model[shown.name].mean() * shown.scale
        columns[f"{shown.name}_std"] = by_model[shown.name].std() * shown.scale
    frame = pd.DataFrame(columns, index=in_groups(results["model"]))
    frame.insert(0, "group", [group_of(model) for model in frame.index])
    return frame


def compared(frame: pd.DataFrame) -> list[Compared]:
    """Families with comparisons in a :func:`summary_frame`."""
    return [
        each
        for each in COMPARED
        if f"{each.family}_low" in frame and frame[f"{each.family}_low"].notna().any()
    ]


def cells(frame: pd.DataFrame) -> dict[str, list[Cell]]:
    """Cells of every line of a :func:`summary_frame` by model; oracles are never marked as best."""
    columns = mean_columns(frame, SHOWN)
    for family, _, _, with_p in compared(frame):
        values = frame[[f"{family}_{name}" for name in DIFFERENCE]].to_numpy(np.float64)
        columns.append([Cell(difference_text(*line, with_p=with_p)) for line in values])
    return dict(zip(frame.index, map(list, zip(*columns, strict=True)), strict=True))


def mean_columns(frame: pd.DataFrame, wanted: Sequence[Shown]) -> list[list[Cell]]:
    """Cells of each column of `wanted` that a frame of :func:`means` has."""
    columns: list[list[Cell]] = []
    candidates = (frame["group"] != ORACLE).to_numpy()
    for shown in wanted:
        if shown.name not in frame:
            continue
        means = [shown.pattern.format(value) for value in frame[shown.name]]
        # Compared as formatted, so that of two lines that look equal, both are marked.
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
    return columns


def mean_cells(results: pd.DataFrame, models: Sequence[str], metric: str) -> list[Cell]:
    """Cells of a metric of `models`, averaged over seeds; oracles are never marked as best.

    Args:
        models: a model without results has an empty cell.
        metric: a column whose name ends in ``auc`` or ``logloss``.
    """
    values = results.groupby("model")[metric]
    mean, std = (each.reindex(list(models)) for each in (values.mean(), values.std()))
    shown = {model: f"{mean[model]:.4f}" for model in models}
    eligible = [t for model, t in shown.items() if group_of(model) != ORACLE and t != "nan"]
    best = (min if metric.endswith("logloss") else max)(eligible, default=None)
    return [
        Cell(_with_std(text, std[model], "{:.4f}"), text == best and group_of(model) != ORACLE)
        for model, text in shown.items()
    ]


def titles(frame: pd.DataFrame) -> list[str]:
    """Titles of the columns of :func:`cells`."""
    return mean_titles(frame, SHOWN) + [title_of(frame, each) for each in compared(frame)]


def title_of(frame: pd.DataFrame, family: Compared) -> str:
    """Title of the column of a family in a :func:`summary_frame`."""
    return family.title + (WITH_P if has_p(frame, family) else "")


def has_p(frame: pd.DataFrame, family: Compared) -> bool:
    """Whether a column of a :func:`summary_frame` has p-values, which need enough resamples."""
    return family.with_p and bool(frame[f"{family.family}_p_holm"].notna().any())


def mean_titles(frame: pd.DataFrame, wanted: Sequence[Shown]) -> list[str]:
    """Titles of the columns of :func:`mean_columns`."""
    return [shown.title for shown in wanted if shown.name in frame]


def _with_std(mean: str, std: float, pattern: str) -> str:
    if mean.endswith("nan"):
        return ""
    return mean if pd.isna(std) else f"{mean} ± {pattern.format(std)}"


def difference_text(
    difference: float, low: float, high: float, p: float, floor: float, *, with_p: bool
) -> str:
    """``+0.0100 [+0.0050, +0.0150], p = 0.010``; empty without an interval.

    Args:
        p: nan, if there are too few resamples for one.
        floor: the lowest that p can be; nan in results of earlier versions.
    """
    if math.isnan(low):
        return ""
    text = f"{difference:+.4f} [{low:+.4f}, {high:+.4f}]"
    return f"{text}, {p_text(p, floor)}" if with_p and p_text(p, floor) else text


def p_text(p: float, floor: float) -> str:
    """``p = 0.010``, or ``p ≤ 0.0042`` at its floor; empty for nan.

    Example:
        >>> p_text(0.0104, 0.0042), p_text(0.0042, 0.0042), p_text(0.0002, math.nan)
        ('p = 0.010', 'p ≤ 0.0042', 'p < 0.001')
    """
    if math.isnan(p):
        return ""
    if p < 1 and p <= floor * (1 + 1e-9):
        return f"p ≤ {math.ceil(round(1e4 * floor, 6)) / 1e4:.4f}"
    return f"p = {p:.3f}" if p >= 0.001 else "p < 0.001"
