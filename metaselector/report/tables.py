"""Write the summary of a run as Markdown and LaTeX, and print it on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import groupby
from pathlib import Path

import pandas as pd
from rich.console import Console
from rich.table import Table

from metaselector.common.files import write_text
from metaselector.common.text import printable
from metaselector.evaluate.comparisons import ADDED as DIFFERENCE_ADDED
from metaselector.evaluate.comparisons import BEST_SINGLE, SIMPLIFIED, TARGET
from metaselector.evaluate.comparisons import REQUIRED as DIFFERENCE_COLUMNS
from metaselector.evaluate.intervals import FEW_USERS, LEAST_RESAMPLES
from metaselector.evaluate.lists import COLUMNS as OF_LISTS
from metaselector.evaluate.results import ADDED, REQUIRED
from metaselector.report.groups import group_of
from metaselector.report.inputs import only_value, read_command, read_origin, read_table
from metaselector.report.markdown import code, escaped, table_row
from metaselector.report.ranking import list_table, ranking_table
from metaselector.report.rivals import rival_notes
from metaselector.report.summary import (
    OVER_SEEDS,
    WITH_P,
    Summary,
    best_single,
    cells,
    compared,
    seed_list,
    summary_frame,
    title_of,
    titles,
)
from metaselector.report.support import SUPPORT_FILE, read_support
from metaselector.report.tasks import TASKS_FILE, read_tasks
from metaselector.report.terminal import cell

SUMMARY_FILE = "summary.md"
FEW = (
    "With {users} users, 95 % intervals are approximate: in simulations they contain the truth in "
    "92 to 97 % of data sets of 40 users, and in 87 to 99 % of those of 20."
)
_UNLIMITED = 1000  # characters
_RELATIVE = ("RelaImpr %", "gap closed %", "headroom closed %")


def write_tables(run_dir: Path) -> list[Path]:
    """Write ``summary.md`` and ``summary.tex`` from ``results.csv``, or from an overview's file.

    ``differences.csv``, if present, adds columns; ``environment.json`` holds the command. The LaTeX
    needs the packages booktabs and graphicx.

    Raises:
        DataError: ``results.csv`` or ``environment.json`` is missing, or a file is damaged.
    """
    summary = read_summary(run_dir)
    parts = (summary, *summary.further)
    forms = {
        SUMMARY_FILE: "\n".join(map(markdown, parts)),
        "summary.tex": "\n".join(map(_latex, parts)),
    }
    for name, text in forms.items():
        write_text(run_dir / name, text)
    return [run_dir / name for name in forms]


def print_summary(run_dir: Path, console: Console) -> None:
    """Print as many columns of a run's summary as fit, and the notes that explain what is shown.

    The last line of a table says which columns are left out. Raises as :func:`write_tables`.
    """
    summary = read_summary(run_dir)
    for part in (summary, *summary.further):
        _print(part, run_dir / SUMMARY_FILE, console)


def _print(summary: Summary, everything: Path, console: Console) -> None:
    # A narrow terminal shows fewer columns instead of wrapped numbers; the files hold all.
    unlimited = console.options.update(max_width=_UNLIMITED)
    for width in range(len(summary.titles), 0, -1):
        table = _terminal(summary, width)
        if console.measure(table, options=unlimited).maximum <= console.width:
            break
    console.print(table)
    models = {model for _, lines in summary.groups for model, _ in lines}
    shown, left_out = models.union(summary.titles[:width]), summary.titles[width:]
    notes = [note for note in summary.notes if _explains(summary, note, shown)]
    if left_out:
        columns = "1 more column is" if len(left_out) == 1 else f"{len(left_out)} more columns are"
        notes.append(f"{columns} in {everything}: {'; '.join(left_out)}.")
    for note in notes:
        console.print(cell(note), style="dim", highlight=False)


def _explains(summary: Summary, note: str, shown: set[str]) -> bool:
    """Whether a note is about something shown; one about the whole table is."""
    about = summary.about.get(note)
    return about is None or not shown.isdisjoint(about)


def _terminal(summary: Summary, width: int) -> Table:
    """The table with its first `width` columns after the model's."""
    table = Table(title=cell(summary.name), title_justify="left")
    table.add_column("model", no_wrap=True)
    for title in summary.titles[:width]:
        table.add_column(cell(title), justify="right")
    for _, lines in summary.groups:
        for model, line in lines:
            texts = [cell(each.text, "bold" if each.best else "") for each in line[:width]]
            table.add_row(cell(model), *texts)
        table.add_section()
    return table


def read_summary(run_dir: Path, environment: Path | None = None) -> Summary:
    """Read the summary of a folder with results or an overview; raises as :func:`write_tables`.

    Args:
        environment: file that holds the command; by default ``environment.json`` of the folder.
    """
    if (run_dir / TASKS_FILE).exists():
        return read_tasks(run_dir)
    if (run_dir / SUPPORT_FILE).exists():
        return read_support(run_dir)
    path = run_dir / "results.csv"
    results = read_table(path, REQUIRED, optional=(*ADDED, *OF_LISTS))
    made_with = environment or run_dir / "environment.json"
    title, about_copy = read_origin(made_with, only_value(results, "dataset", path))
    name = f"{title}, {only_value(results, 'protocol', path)}"
    other = run_dir / "differences.csv"
    differences = (
        read_table(other, DIFFERENCE_COLUMNS, optional=DIFFERENCE_ADDED) if other.exists() else None
    )
    frame = summary_frame(results, differences)
    lines = cells(frame)
    groups = [
        (group, [(model, lines[model]) for model in models])
        for group, models in groupby(lines, key=group_of)
    ]
    families = {each.family: title_of(frame, each) for each in compared(frame)}
    made = (table(results, differences) for table in (ranking_table, list_table))
    further = tuple(table for table in made if table is not None)
    about = _notes(results, families)
    about |= {note: (model,) for model, note in rival_notes(run_dir).items()}
    return Summary(
        name,
        [*about_copy, *about],
        titles(frame),
        groups,
        read_command(made_with),
        further,
        {note: names for note, names in about.items() if names},
    )


def _notes(results: pd.DataFrame, families: Mapping[str, str]) -> dict[str, tuple[str, ...]]:
    """Notes of a table, each with the titles and rows that it explains; `families` have titles."""
    several = results["seed"].nunique() > 1
    users, rows, both = (_count(results[name]) for name in ("n_users", "n_test", "gauc_users"))
    notes: dict[str, tuple[str, ...]] = {
        f"{seed_list(results)}; {users} users, {rows} test rows; "
        f"GAUC over the {both} users with both classes.": ()
    }
    if several:
        notes[OVER_SEEDS] = ()
    singles = " or ".join(dict.fromkeys(best_single(results)["model"]))
    notes[
        f"RelaImpr and gap closed (in logloss; 100 % is oracle-user) are relative to {singles}, "
        "the best single model on valid."
    ] = _RELATIVE
    if "headroom" in set(results["model"]):
        notes[
            "headroom: estimate for a choice that knows each user's truly best base model; a model "
            "may honestly close more than 100 % of it, because adapting and mixing do more than "
            "choose. chance: the user-level oracle with rows dealt to users at random."
        ] = ("headroom", "chance", _RELATIVE[-1])
    averaged = "; averaged over seeds, with the same draws for every seed" if several else ""
    if BEST_SINGLE in families:
        notes[
            "Δ logloss: difference in logloss, this row minus that model, with its 95 % interval "
            f"by paired bootstrap over users{averaged}."
        ] = (families[BEST_SINGLE],)
    if TARGET in families:
        notes[
            f"{TARGET} − row: difference in logloss, {TARGET} minus this row, with its 95 % "
            + (
                "interval and two-sided p-value; p-values, but not intervals, are corrected by "
                "Holm's method over the rows of this column."
                if families[TARGET].endswith(WITH_P)
                else f"interval; no p-values, which need {LEAST_RESAMPLES:,} resamples or more "
                "(evaluate.resamples)."
            )
        ] = (families[TARGET],)
    if SIMPLIFIED in families:
        notes[
            f"simplified − row: the same for {SIMPLIFIED}, compared with rows that only combine "
            "outputs of frozen base models."
        ] = (families[SIMPLIFIED],)
    if families and results["n_users"].min() < FEW_USERS:
        notes[FEW.format(users=users)] = tuple(families.values())
    return notes


def _count(column: pd.Series) -> str:
    low, high = int(column.min()), int(column.max())
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"


def markdown(summary: Summary) -> str:
    """A table as a Markdown page."""
    width = len(summary.titles)
    rows = [["model", *map(escaped, summary.titles)], ["---", *["---:"] * width]]
    for group, lines in summary.groups:
        rows.append([f"*{group}*", *[""] * width])
        for model, line in lines:
            texts = [f"**{each.text}**" if each.best else each.text for each in line]
            rows.append([escaped(model), *texts])
    head = [f"## {escaped(summary.name)}", "", *map(escaped, summary.notes), ""]
    head += [f"Command: {code(summary.command)}", ""] if summary.command else []
    return "\n".join([*head, *map(table_row, rows), ""])


def _latex(summary: Summary) -> str:
    columns = len(summary.titles) + 1
    body: list[str] = []
    for group, lines in summary.groups:
        body += [r"\midrule", rf"\multicolumn{{{columns}}}{{l}}{{\emph{{{_tex(group)}}}}} \\"]
        for model, line in lines:
            texts = [
                rf"\textbf{{{_tex(cell.text)}}}" if cell.best else _tex(cell.text) for cell in line
            ]
            # Names keep their hyphens, numbers get minus signs.
            body.append(" & ".join([_tex(model, minus="-"), *texts]) + r" \\")
    caption = _tex(f"{summary.name}. {' '.join(summary.notes)}", minus="-")
    return "\n".join(
        [
            *([f"% Command: {printable(summary.command)}"] if summary.command else []),
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{caption}}}",
            r"\resizebox{\linewidth}{!}{%",
            rf"\begin{{tabular}}{{l{'r' * (columns - 1)}}}",
            r"\toprule",
            " & ".join(_tex(title, minus="-") for title in ["model", *summary.titles]) + r" \\",
            *body,
            r"\bottomrule",
            r"\end{tabular}}",
            r"\end{table}",
            "",
        ]
    )


def _tex(text: str, minus: str = "$-$") -> str:
    special = {character: f"\\{character}" for character in "&%$#_{}"}
    special |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    special |= {"±": r"$\pm$", "Δ": r"$\Delta$", "-": minus, "+": "$+$"}
    special |= {"−": "$-$", "<": "$<$", "≤": r"$\leq$"}
    return "".join(special.get(character, character) for character in printable(text))
