"""The short form of the suite's page, for the README."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.suite_leads import FAIR, Lead, is_rival
from benchmarks.suite_page_data import table_lines
from benchmarks.suite_tables import Table
from metaselector.evaluate.comparisons import TARGET
from metaselector.report.groups import SINGLE, group_of


def readme_table(tables: Sequence[Table], leads: Sequence[Lead]) -> str:
    """The short form for the README: known users by their own order, five rows and the closest gap.

    Args:
        tables, leads: of the suite, in the same order.
    """
    chosen = [
        (table, lead) for table, lead in zip(tables, leads, strict=True) if table.protocol == "warm"
    ]
    lines = {
        "best base model": [f"{_single(table):.4f}" for table, _ in chosen],
        **{
            row: [f"{_mean(table, row):.4f}" for table, _ in chosen]
            for row in ("uniform", FAIR, f"{FAIR}-residuals", TARGET)
        },
        f"{TARGET} − closest other row": [
            f"{lead.closest.text} ({lead.closest.row})" for _, lead in chosen
        ],
    }
    text = table_lines(
        ["logloss", *(table.title for table, _ in chosen)],
        ([name, *cells] for name, cells in lines.items()),
    )
    return "\n".join(text)


def _mean(table: Table, row: str) -> float:
    return float(table.results.loc[table.results["model"] == row, "logloss"].mean())


def _single(table: Table) -> float:
    means = table.results.groupby("model")["logloss"].mean()
    singles = [m for m in means.index if group_of(str(m)) == SINGLE and is_rival(str(m))]
    return float(means[singles].min())
