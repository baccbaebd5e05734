"""Read the tables of the suite from the folders that hold them, and join them into one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from benchmarks.data_facts import FACTS_FILE
from benchmarks.suite_entries import ENTRIES, TITLES
from metaselector.evaluate.comparisons import TARGET
from metaselector.evaluate.results import REQUIRED
from metaselector.report.groups import in_groups
from metaselector.report.inputs import only_value, read_origin, read_table

COLUMNS = (
    "dataset",
    "protocol",
    "model",
    "metric",
    "seeds",
    "mean",
    "sd",
    "difference",
    "low",
    "high",
    "holm_p",
)
COMPARED = ("family", "baseline", "metric", "difference", "low", "high", "p_holm")
"""Columns of ``differences.csv`` that are read."""
CHOSEN = ("seed", "model", "setting", "choice", "at_end")
"""Columns of ``rivals.csv``."""
NAMES = tuple(each.name for each in ENTRIES)
METRICS = ("auc", "logloss", "gauc", "ndcg_10", "mrr")
"""Columns of ``results.csv`` that every table has; others with intervals follow."""
GAP = ["difference", "low", "high", "p_holm", "p_floor"]
NEEDED = ("user-finetuned-plain", "user-finetuned", "user-finetuned-residuals", TARGET)
"""Rows without which a table says nothing about the lead; earlier versions lack some."""
_SECTIONS = {"warm-chronological": "warm", "global-date": "global"}
_TASK = "task-"


class Table(NamedTuple):
    """One results table: one data set, protocol and task.

    Attributes:
        dataset: its name, with ``/<task>`` if there are several tasks.
        protocol: ``warm``, ``cold-<n>``, ``global-known``, ``global-new`` or ``global``.
        title: the data set's title, which says if it is not the official copy.
        limit: what must be known of that copy, if anything.
        folder: the folder of the entry, which has the settings.
        results, differences: of the table.
        facts: its line of ``data.csv``; empty if the table has none.
        ends: the lines of ``rivals.csv`` with a choice at an end of what could be chosen.
    """

    dataset: str
    protocol: str
    title: str
    limit: str
    folder: Path
    results: pd.DataFrame
    differences: pd.DataFrame
    facts: dict[str, float]
    ends: pd.DataFrame


def read_tables(results: Path, names: Sequence[str] = NAMES) -> tuple[list[Table], list[str]]:
    """Read all tables in the folders called `names`, those that exist, in this order.

    Returns:
        The tables, and a note on each one that is left out.

    Raises:
        DataError: a file is missing or damaged.
    """
    found, notes = [], []
    for name in names:
        for table in _tables_of(results / name):
            rows = set(table.results["model"])
            missing = [row for row in NEEDED if row not in rows]
            if missing:
                place = f"{table.dataset}, {table.protocol}"
                notes.append(f"{place}: left out, since it has no row {missing[0]}; make it again")
            else:
                found.append(table)
    return found, notes


def _tables_of(folder: Path) -> Iterator[Table]:
    for path in sorted(folder.rglob("results.csv"), key=_order):
        results = read_table(path, REQUIRED)
        differences = read_table(path.with_name("differences.csv"), COMPARED)
        dataset = only_value(results, "dataset", path)
        title, limits = read_origin(folder / "environment.json", TITLES.get(dataset, dataset))
        split = only_value(results, "protocol", path)
        below = path.relative_to(folder).parts
        task = next((part[len(_TASK) :] for part in below if part.startswith(_TASK)), None)
        suffix = "" if task is None else f"/{task}"
        facts = _facts(folder / FACTS_FILE, split, task)
        yield Table(
            dataset + suffix,
            protocol_of(split),
            title + suffix,
            " ".join(limits),
            folder,
            results,
            differences,
            facts,
            _ends(path.with_name("rivals.csv")),
        )


def _ends(path: Path) -> pd.DataFrame:
    if not path.exists():  # tables of earlier versions
        return pd.DataFrame(columns=list(CHOSEN))
    found = read_table(path, CHOSEN)
    return found[found["at_end"].astype(bool)]


def _order(path: Path) -> list[tuple[str, int]]:
    """Folders in the order of their names, the numbers in them by value."""
    parts = re.findall(r"(\D*)(\d*)", path.parent.as_posix())
    return [(text, int(number or -1)) for text, number in parts]


def protocol_of(split: str) -> str:
    """The protocol of a table from the column ``protocol`` of its results.

    Example:
        >>> [protocol_of(name) for name in ("warm-chronological", "cold-5", "global-date-new")]
        ['warm', 'cold-5', 'global-new']
    """
    return _SECTIONS.get(split, split.replace("global-date-", "global-"))


def _facts(path: Path, split: str, task: str | None) -> dict[str, float]:
    if not path.exists():
        return {}
    facts = read_table(path, ("task", "protocol"), mend="make the table again")
    of_split = facts[facts["protocol"] == split]
    if task is not None:
        of_split = of_split[of_split["task"] == task]
    if not len(of_split):  # known and new users together
        return {}
    line = of_split.drop(columns=["task", "protocol"]).iloc[0]
    return {str(name): float(value) for name, value in line.items()}


def summary_frame(tables: Sequence[Table]) -> pd.DataFrame:
    """One line per data set, protocol, model and metric, with the columns :data:`COLUMNS`.

    ``mean`` and ``sd``, the sample standard deviation, are over the seeds; a model without the
    metric has no line. ``difference`` is joint MetaSelector minus the model with its 95 % interval,
    and ``holm_p`` its p-value corrected over the models of the table, as in ``differences.csv``;
    oracles and MetaSelector itself have none.
    """
    lines = [line for table in tables for line in _lines(table)]
    return pd.DataFrame(lines, columns=list(COLUMNS))


def _lines(table: Table) -> Iterator[tuple[object, ...]]:
    compared = differences_of(table)
    metrics = list(dict.fromkeys([*METRICS, *compared.index.get_level_values("metric")]))
    by_model = table.results.groupby("model")
    for model in in_groups(table.results["model"]):
        of_model = by_model.get_group(model)
        for metric in metrics:
            if metric not in of_model or of_model[metric].isna().all():
                continue
            values, key = of_model[metric], (model, metric)
            found = compared.loc[key] if key in compared.index else pd.Series(dtype=float)
            ends = (found.get(name) for name in GAP[:4])
            yield (
                table.dataset,
                table.protocol,
                model,
                metric_name(metric),
                len(values),
                values.mean(),
                values.std(),
                *ends,
            )


def differences_of(table: Table) -> pd.DataFrame:
    """Joint MetaSelector minus each row, by ``(baseline, metric)``.

    Columns are ``difference``, ``low``, ``high``, ``p_holm`` and ``p_floor``, the lowest that
    ``p_holm`` can be; nan where it was not written.
    """
    own = table.differences[table.differences["family"] == TARGET]
    return own.set_index(["baseline", "metric"]).reindex(columns=GAP)


def metric_name(column: str) -> str:
    """``ndcg@10`` for the column ``ndcg_10``; other columns keep their name."""
    return re.sub(r"_(\d+)$", r"@\1", column)
