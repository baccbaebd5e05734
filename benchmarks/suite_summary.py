"""Join all long tables into one CSV file, one page and one figure; nothing is trained.

    python -m benchmarks.suite_summary

reads the tables of the suite that are in ``benchmarks/results/`` and writes
``benchmarks/results/suite/``. ``--readme README.md`` also renews the short table there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from benchmarks.command import new_app
from benchmarks.command import run as run_app
from benchmarks.suite_leads import Lead, lead_of
from benchmarks.suite_page import FIGURE, page, sections
from benchmarks.suite_ranks import mean_ranks, ranks_figure
from benchmarks.suite_readme import readme_table
from benchmarks.suite_tables import NAMES, Table, read_tables, summary_frame
from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.report.figures.style import save

FOLDER = "suite"
COMMAND = "python -m benchmarks.suite_summary"
BEGIN, END = "<!-- suite -->", "<!-- end of suite -->"
"""Lines of the README around the short table."""

app = new_app()


@app.command()
def main(
    results: Annotated[Path, typer.Option(help="Folder with the folders of the tables.")] = Path(
        "benchmarks/results"
    ),
    readme: Annotated[
        Path | None, typer.Option(help="Page whose short table is renewed, too.")
    ] = None,
) -> None:
    """Collect the tables of the suite."""
    write_summary(results)
    if readme is not None:
        tables, leads, _ = read_suite(results)
        text = readme.read_text(encoding="utf-8")
        write_text(readme, with_table(text, readme_table(tables, leads), readme))
        typer.echo(readme)


def read_suite(
    results: Path, names: Sequence[str] = NAMES
) -> tuple[list[Table], list[Lead], list[str]]:
    """The tables of the suite in a folder, their leads, and notes on those that are missing."""
    tables, notes = read_tables(results, names)
    missing = [name for name in names if not (results / name).exists()]
    if missing:
        notes.append(f"not made yet: {', '.join(missing)}")
    return tables, [lead_of(table) for table in tables], notes


def write_summary(results: Path, names: Sequence[str] = NAMES) -> None:
    """Write ``suite/summary.csv``, ``summary.md`` and the figure from the tables in `results`.

    Args:
        results: folder of the folders of tables.
        names: folders to read, those that exist; by default those of the suite.

    Raises:
        DataError: a file of a table is damaged.
    """
    tables, leads, notes = read_suite(results, names)
    if not tables:
        for note in notes:
            typer.echo(note)
        typer.echo(f"{results}: no tables to collect")
        return
    ranks = {
        title: mean_ranks([lead.table for lead in of_group])
        for title, of_group in sections(leads).items()
    }
    folder = results / FOLDER
    summary = summary_frame(tables).to_csv(index=False, float_format="%.6g")
    texts = {"summary.csv": summary, "summary.md": page(leads, notes, ranks, COMMAND)}
    for name, text in texts.items():
        write_text(folder / name, text)
        typer.echo(folder / name)
    save(ranks_figure(ranks), folder / FIGURE)
    typer.echo(folder / FIGURE)


def with_table(text: str, table: str, path: Path) -> str:
    """`text` with `table` between the lines :data:`BEGIN` and :data:`END`.

    Raises:
        UserError: `text`, of the file `path`, lacks one of the lines.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise UserError(f"{path}: has no lines '{BEGIN}' and '{END}' around the table; add them")
    return f"{before}{BEGIN}\n\n{table}\n\n{END}{after}"


if __name__ == "__main__":
    run_app(app)
