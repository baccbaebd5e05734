"""The command that writes one HTML page about evaluated runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import load, progress, use
from metaselector.cli.options import ALLOW_CODE, JSON, MACHINE, QUIET
from metaselector.cli.written import say_written
from metaselector.common.errors import UserError
from metaselector.common.streams import say


@with_options(*MACHINE, ALLOW_CODE, JSON, QUIET)
def report(
    options: Options,
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Directories of evaluated runs.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="HTML file to write.",
            show_default="report.html in the run's directory; for several runs, in the current "
            "directory",
        ),
    ] = None,
    users: Annotated[
        int,
        typer.Option(min=1, help="Maximum number of users per run in the page's user explorer."),
    ] = 1000,
    as_json: bool = False,
) -> None:
    """Write one HTML page about evaluated runs: verdict, tables, figures, users, and provenance.

    The page is one self-contained file and works offline. For several runs it starts with their
    verdicts and tables side by side. Data for the user explorer, and headroom, are computed once
    and kept in the run's directory: in explore/ and headroom.csv.
    """
    from metaselector.common.files import about
    from metaselector.config.plugins.consent import CodeNotAllowed
    from metaselector.report.page.folders import folders_of
    from metaselector.report.page.write import write_page
    from metaselector.runs.run import Run
    from metaselector.runs.stages.explore import explore
    from metaselector.runs.stages.kept_headroom import add_headroom

    runs = list(dict.fromkeys(runs))
    if output is None:
        output = Path("report.html") if len(runs) > 1 else runs[0] / "report.html"
    if output.suffix.lower() not in (".html", ".htm") or output.is_dir():
        raise UserError(f"{output}: choose a file name that ends in .html")
    for run in runs:
        folders_of(run)  # before anything takes time
    no_users = {}
    for run in runs:
        # For example, only the tables of the run were kept, or its plug-in is not installed here.
        try:
            config = load(options, run / "config.yaml")
        except CodeNotAllowed:
            raise
        except UserError as error:
            no_users[run] = str(error)
            continue
        use(config)
        this = Run(run, config)
        try:
            explore(this, progress(options), users)
        except UserError as error:
            no_users[run] = str(error)
            continue
        try:
            add_headroom(this, progress(options))
        except UserError as error:  # the page does without
            progress(options).note(f"headroom is left out: {error}")
    write_page(runs, output, no_users)
    size = output.stat().st_size
    if as_json:
        reasons = {str(run): why for run, why in no_users.items()}
        say_written([output], as_json=True, bytes=size, no_users=reasons)
    else:
        say(f"{output} ({about(size)})")
