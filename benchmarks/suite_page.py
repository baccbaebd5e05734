"""The page of the suite: claims first, then losses, differences, ranks, data and costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

import pandas as pd

from benchmarks.suite_leads import FAIR, Lead
from benchmarks.suite_page_data import at_ends, costs, in_common, table_lines
from benchmarks.suite_ranks import DRAWS
from metaselector.evaluate.comparisons import TARGET
from metaselector.evaluate.intervals import SIGNIFICANT
from metaselector.report.groups import ORACLE, group_of, in_groups
from metaselector.report.markdown import code

FIGURE = "ranks.png"
SECTIONS = {
    "warm": "Known users, own order",
    "global-known": "Known users, one date",
    "global-new": "New users, one date",
    "cold": "New users, n rows",
}
"""Titles of the groups of tables, by the beginning of their protocol; others are in no group."""


def sections(leads: Sequence[Lead]) -> dict[str, list[Lead]]:
    """The tables of each group, by title; groups without tables are left out."""
    found = {
        title: [lead for lead in leads if _begins(lead.table.protocol, start)]
        for start, title in SECTIONS.items()
    }
    return {title: of_group for title, of_group in found.items() if of_group}


def _begins(protocol: str, start: str) -> bool:
    return protocol == start or protocol.startswith(f"{start}-")


def page(
    leads: Sequence[Lead], notes: Sequence[str], ranks: Mapping[str, pd.DataFrame], command: str
) -> str:
    """The page as Markdown.

    Args:
        leads: of all tables.
        notes: on tables that are left out or were never made.
        ranks: mean ranks by title of the group, as in the figure.
        command: the command that makes the page.
    """
    groups = sections(leads)
    limits = {lead.table.title: lead.table.limit for lead in leads if lead.table.limit}
    parts = [
        "## All data sets",
        "",
        *(f"- **{title}.** {claim(of_group)}" for title, of_group in groups.items()),
        "",
        f"Siblings of joint MetaSelector (`{TARGET}`) are the rows whose names begin with "
        f"`{TARGET}`. Fine-tuning that is tuned on *valid* (`{FAIR}`, `{FAIR}-residuals`) is not "
        "one. Differences are joint MetaSelector minus the row, averaged over seeds, with 95 % "
        "intervals of the paired bootstrap over users and p-values corrected by Holm's method over "
        "all rows of a table, siblings included. *Significant* means p < 0.05 after this "
        "correction, within one table; nothing is corrected over data sets.",
        "",
        *(f"{title}: {limit}\n" for title, limit in limits.items()),
        *([*(f"- {note}" for note in notes), ""] if notes else []),
        f"Command: {code(command)}",
        "",
        "### Logloss",
        "",
        "Means over seeds; the lowest of a column is bold, without oracles. `summary.csv` has the "
        "standard deviations and the other metrics.",
        "",
        *(line for title, of_group in groups.items() for line in _losses(title, of_group)),
        "### Where the lead holds",
        "",
        "Closest: the row with the lowest logloss that is no sibling. AUC and GAUC: the difference "
        "to the row with the highest that is no sibling; above 0 is better.",
        "",
        *table_lines(
            ["data set", "protocol", "lead over every row", "closest, logloss",
             f"{FAIR}, logloss", "AUC", "GAUC"],
            map(_lead_cells, leads),
        ),
        "",
        *at_ends(leads),
        "### Ranks",
        "",
        f"Mean ranks in logloss over data sets (1 is the lowest) with 95 % intervals: {DRAWS:,} "
        "resamples that draw data sets and, in each, its seeds. With few data sets the intervals "
        "are rough. Only rows that all tables of a column have are ranked; support sizes of one "
        "data set are averaged.",
        "",
        f"![Mean ranks of all rows, a panel per protocol]({FIGURE})",
        "",
        *_ranks(ranks),
        "",
        "### What the data sets that profit have in common",
        "",
        *in_common(groups),
        *costs(leads),
    ]  # fmt: skip
    return "\n".join(parts).rstrip() + "\n"


def claim(leads: Sequence[Lead]) -> str:
    """What may be said of a group of tables, the tables where it does not hold named."""
    n = len(leads)
    sets = len({lead.table.dataset for lead in leads})
    what = "data set" if sets == n else f"table of {sets} data set{'s' * (sets > 1)}"
    many = what.replace("data set", "data sets") if sets == n else what.replace("table", "tables")
    of = f"of {n} {what if n == 1 else many}"
    held = [lead for lead in leads if lead.holds]
    untested = [lead for lead in leads if not lead.is_tested]
    text = (
        f"On {len(held)} {of}, joint MetaSelector has a lower logloss than every row that is not "
        "its sibling, after Holm's correction"
    )
    text += f" ({_names(held)})." if held else "."
    missed = [lead for lead in leads if lead.is_tested and not lead.holds]
    if missed:
        text += " Not on " + "; ".join(map(_missed, missed)) + "."
    if untested:
        text += f" Not tested, for lack of resamples: {_names(untested)}."
    fair = [lead for lead in leads if lead.fair.difference < 0]
    sure = [lead for lead in fair if lead.fair.p < SIGNIFICANT]
    text += (
        f" Its logloss is lower than that of `{FAIR}` on {len(fair)} of {n}, significantly on "
        f"{len(sure)}."
    )
    worse = [lead for lead in leads if lead.better_gauc]
    highest = sum(lead.gauc.difference > 0 for lead in leads)
    text += f" Its GAUC is the highest of these rows on {highest} of {n}, and significantly lower "
    return text + (
        "than that of some row on "
        + "; ".join(f"{_name(lead)} ({lead.better_gauc[0].named})" for lead in worse)
        + "."
        if worse
        else "than that of any row on none."
    )


def _missed(lead: Lead) -> str:
    first, more = lead.unbeaten[0], len(lead.unbeaten) - 1
    others = f", and {more} more row{'s' * (more > 1)}" if more else ""
    return f"{_name(lead)} ({first.named}{others})"


def _name(lead: Lead) -> str:
    _, _, size = lead.table.protocol.partition("cold-")
    return f"{lead.table.title}, {size} rows" if size else lead.table.title


def _names(leads: Sequence[Lead]) -> str:
    return ", ".join(map(_name, leads))


def _losses(title: str, leads: Sequence[Lead]) -> Iterator[str]:
    means = {_name(lead): lead.table.results.groupby("model")["logloss"].mean() for lead in leads}
    rows = in_groups(m for lead in leads for m in lead.table.results["model"])
    yield f"*{title}*"
    yield ""
    yield from table_lines(
        ["model", *means],
        ([row, *(_loss(row, of_table) for of_table in means.values())] for row in rows),
    )
    yield ""


def _loss(row: str, means: pd.Series) -> str:
    if row not in means or math.isnan(means[row]):
        return ""
    shown = {model: f"{value:.4f}" for model, value in means.items()}
    best = min(text for model, text in shown.items() if group_of(str(model)) != ORACLE)
    is_best = group_of(row) != ORACLE and shown[row] == best
    return f"**{shown[row]}**" if is_best else shown[row]


def _lead_cells(lead: Lead) -> list[str]:
    verdict = "yes" if lead.holds else f"no: {len(lead.unbeaten)} not beaten"
    if not lead.is_tested:
        verdict = "not tested"
    protocol = lead.table.protocol
    return [
        lead.table.title,
        protocol,
        verdict,
        lead.closest.named,
        lead.fair.text,
        lead.auc.named,
        lead.gauc.named,
    ]


def _ranks(ranks: Mapping[str, pd.DataFrame]) -> Iterator[str]:
    by_title = {title: table.set_index("model") for title, table in ranks.items()}
    models = list(dict.fromkeys(model for table in by_title.values() for model in table.index))

    def cell(model: str, table: pd.DataFrame) -> str:
        if model not in table.index:
            return ""
        rank, low, high = table.loc[model, ["rank", "low", "high"]]
        return f"{rank:.1f} [{low:.1f}, {high:.1f}]"

    yield from table_lines(
        ["model", *by_title],
        ([model, *(cell(model, table) for table in by_title.values())] for model in models),
    )
