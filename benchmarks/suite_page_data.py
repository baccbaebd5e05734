"""The parts of the suite's page about the data sets and the costs."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import pandas as pd

from benchmarks.suite_leads import Lead, rank_correlation
from metaselector.report.markdown import table_row
from metaselector.runs.stage_costs import read_stages

CHOICE = ["model", "setting", "choice"]
FACTS = {
    "rows_before": ("rows a user", "{:.0f}"),
    "positives_test": ("positives", "{:.3f}"),
    "spread": ("spread", "{:.3f}"),
    "drift": ("drift", "{:.3f}"),
}
"""Columns of ``data.csv`` that the page shows, with title and format."""


def in_common(groups: Mapping[str, Sequence[Lead]]) -> Iterator[str]:
    """Lines on leads and properties of the data, by title of a group of tables."""
    yield (
        "Lead: logloss of the closest row that is no sibling minus joint MetaSelector's. Gain: "
        "that of the best single model minus joint MetaSelector's. Headroom: that of the best "
        "single model minus that with perfect knowledge of the users. Rows a user: median before "
        "the test rows. Spread: standard deviation of users' shares of positives; drift: that of "
        "their change from the rows before the test to the test; both without what chance adds "
        "(`benchmarks/data_facts.py`). Empty: not measured."
    )
    yield ""
    titles = ["data set", "protocol", "lead", "gain", "headroom"]
    titles += [title for title, _ in FACTS.values()]
    leads = [lead for of_group in groups.values() for lead in of_group]
    yield from table_lines(titles, map(_fact_cells, leads))
    yield ""
    for title, of_group in groups.items():
        found = {
            "headroom": rank_correlation(of_group, [lead.headroom for lead in of_group]),
            **{
                shown: rank_correlation(
                    of_group, [lead.table.facts.get(fact, math.nan) for lead in of_group]
                )
                for fact, (shown, _) in FACTS.items()
            },
        }
        known = [f"{name} {value:+.2f}" for name, value in found.items() if not math.isnan(value)]
        if known:
            yield (
                f"{title}: Spearman's correlation of the lead over {len(of_group)} tables with "
                f"{', '.join(known)}. So few points describe these tables and test nothing."
            )
            yield ""


def _fact_cells(lead: Lead) -> list[str]:
    numbers = [-lead.closest.difference, lead.gain, lead.headroom]
    cells = ["" if math.isnan(each) else f"{each:+.4f}" for each in numbers]
    for fact, (_, pattern) in FACTS.items():
        value = lead.table.facts.get(fact, math.nan)
        cells.append("" if math.isnan(value) else pattern.format(value))
    return [lead.table.title, lead.table.protocol, *cells]


def at_ends(leads: Sequence[Lead]) -> Iterator[str]:
    """Lines on settings of the rivals that are at an end of what could be chosen; else none."""
    found = [
        [
            lead.table.title,
            lead.table.protocol,
            f"{model}",
            f"{setting} {_short(choice)}",
            f"{len(rows)}",
        ]
        for lead in leads
        for (model, setting, choice), rows in lead.table.ends.groupby(CHOICE)
    ]
    if not found:
        return
    yield "### Where the rivals' choices end"
    yield ""
    yield (
        "Settings of fine-tuning that *valid* put at an end of the values to choose from, and in "
        "how many seeds. Values beyond might be better, so these rivals may be weaker than they "
        "could be."
    )
    yield ""
    yield from table_lines(["data set", "protocol", "row", "choice", "seeds"], found)
    yield ""


def _short(choice: Any) -> str:
    """A number without a needless fraction; a word as it is."""
    try:
        return f"{float(choice):g}"
    except ValueError:
        return str(choice)


def costs(leads: Sequence[Lead]) -> Iterator[str]:
    """Lines on seconds and memory of the tables that have them; none without any."""
    folders = list(dict.fromkeys(lead.table.folder for lead in leads))
    measured = {folder.name: read_stages(folder) for folder in folders}
    lines = [_cost_cells(name, stages) for name, stages in measured.items() if len(stages)]
    if not lines:
        return
    yield "### Costs"
    yield ""
    yield (
        "Seconds of all seeds by the clock, and peak resident memory in millions of bytes, from "
        "`stages.csv` of each table. Machines may differ and may have been busy. Memory was not "
        "measured in all stages of every table: the last column says in how many."
    )
    yield ""
    yield from table_lines(
        [
            "table",
            "prepare",
            "base models",
            "meta-training",
            "evaluate",
            "intervals",
            "peak MB",
            "measured",
        ],
        lines,
    )
    yield ""


def _cost_cells(name: str, stages: pd.DataFrame) -> list[str]:
    starts = ("prepare data", "pretrain ", "train ", "evaluate ", "bootstrap ")
    seconds = [
        stages.loc[stages["stage"].str.startswith(start), "seconds"].sum() for start in starts
    ]
    peak = stages["peak_mb"].max()
    measured = f"{stages['peak_mb'].notna().sum()} of {len(stages)}"
    memory = ["" if pd.isna(peak) else f"{peak:,.0f}", measured]
    return [name, *(f"{each:,.0f}" for each in seconds), *memory]


def table_lines(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    """The lines of a table in Markdown; all columns but the first are aligned to the right."""
    yield table_row(list(titles))
    yield table_row(["---", *["---:"] * (len(titles) - 1)])
    yield from (table_row(list(row)) for row in rows)
