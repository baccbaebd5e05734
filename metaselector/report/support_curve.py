"""The support curve of a run as a table: models by number of support rows, and whether they harm.

:mod:`metaselector.evaluate.support_curve` has the measurements.
"""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from metaselector.evaluate.support_curve import (
    BASELINES,
    COLUMNS,
    DIFFERENCE_COLUMNS,
    MODELS,
    NOT_ADAPTED,
)
from metaselector.report.inputs import read_table
from metaselector.report.summary import OVER_SEEDS, Cell, Groups, Summary, mean_cells, seed_list

CURVE_FILE = "support_curve.csv"
CURVE_DIFFERENCES_FILE = "support_curve_differences.csv"
HARMLESS = 0.0005
"""Nats. Adapting harms at a number of rows if the interval of its effect may exceed this."""
_METRICS = {"logloss": "logloss", "gauc": "GAUC"}


def read_support_curve(run_dir: Path, name: str, command: str) -> Summary | None:
    """Read the support curve of a run; None if it was evaluated without one.

    Args:
        run_dir: the run directory.
        name: title of the table.
        command: the command that created the run.

    Raises:
        DataError: a file is damaged, or only one of the two is there.
    """
    if not (run_dir / CURVE_FILE).exists():
        return None
    differences = read_table(run_dir / CURVE_DIFFERENCES_FILE, DIFFERENCE_COLUMNS)
    return curve_summary(read_table(run_dir / CURVE_FILE, COLUMNS), differences, name, command)


def curve_summary(
    curve: pd.DataFrame, differences: pd.DataFrame, name: str, command: str
) -> Summary:
    """The table of a support curve.

    Args:
        curve: ``support_curve.csv``.
        differences: ``support_curve_differences.csv``.
        name: title of the table.
        command: the command that created the run.
    """
    sizes = sorted(curve["n"].unique())
    models = [model for model in MODELS if model in set(curve["model"])]
    groups: Groups = []
    for metric, title in _METRICS.items():
        if curve[metric].isna().any():  # no user has rows of both classes
            continue
        columns = [mean_cells(curve[curve["n"] == n], models, metric) for n in sizes]
        groups.append((title, _lines(models, columns)))
        for baseline in BASELINES if metric == "logloss" else ():
            of = differences["baseline"].eq(baseline) & differences["metric"].eq(metric)
            found = differences[of].set_index(["model", "n"])
            compared = [model for model in models if model in found.index]
            columns = [[_interval(found.loc[(model, n)]) for model in compared] for n in sizes]
            if compared:
                groups.append((f"{title} − {baseline}, 95 %", _lines(compared, columns)))
    notes = [
        harm(differences),
        f"{seed_list(curve)}; column titles give the number of support rows that a user adapts on. "
        "Known users have the same test rows in every column. For new users, the test rows are all "
        "later rows, so columns differ in rows, but models within a column do not.",
        f"{NOT_ADAPTED} is metaselector without inner steps. Differences have 95 % intervals by "
        "paired bootstrap over users, without correction for the number of comparisons.",
    ]
    if curve["seed"].nunique() > 1:
        notes.append(OVER_SEEDS)
    titles = [f"{n} {'row' if n == 1 else 'rows'}" for n in sizes]
    return Summary(name, notes, titles, groups, command)


def harm(differences: pd.DataFrame) -> str:
    """Whether adapting joint MetaSelector harms at any number of support rows, as a sentence.

    Args:
        differences: ``support_curve_differences.csv``.

    Example:
        >>> line = {"n": 1, "model": "metaselector", "baseline": "not-adapted", "metric": "logloss"}
        >>> harm(pd.DataFrame([line | {"high": 0.0002}])).partition(":")[0]
        'Adapting never hurts, however few the support rows'
        >>> harm(pd.DataFrame([line | {"high": 0.1442}])).partition(":")[0]
        'Adapting may hurt with 1 support row'
    """
    of_loss = differences["baseline"].eq(NOT_ADAPTED) & differences["metric"].eq("logloss")
    mine = differences[of_loss & differences["model"].eq("metaselector")]
    sizes = sorted(mine.loc[mine["high"] > HARMLESS, "n"])
    interval = f"the 95 % interval of metaselector's difference in logloss to {NOT_ADAPTED}"
    if not sizes:
        return (
            f"Adapting never hurts, however few the support rows: {interval} never ends above "
            f"+{HARMLESS}."
        )
    rows = "support row" if sizes == [1] else "support rows"
    return (
        f"Adapting may hurt with {', '.join(map(str, sizes))} {rows}: there, {interval} ends above "
        f"+{HARMLESS}."
    )


def _lines(models: list[str], columns: list[list[Cell]]) -> list[tuple[str, list[Cell]]]:
    return list(zip(models, map(list, zip(*columns, strict=True)), strict=True))


def _interval(line: pd.Series[float]) -> Cell:
    # Adding 0 turns -0.0 into 0.0: without support rows, nothing is adapted.
    found, low, high = (
        f"{round(line[name], 4) + 0:+.4f}" for name in ("difference", "low", "high")
    )
    return Cell(f"{found} [{low}, {high}]")
