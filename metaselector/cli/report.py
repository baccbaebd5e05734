"""The command that writes one HTML page of evaluated runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import load, use
from metaselector.cli.options import ALLOW_CODE, MACHINE
from metaselector.common.errors import UserError
from metaselector.common.streams import say


@with_options(*MACHINE, ALLOW_CODE)
def report(
    options: Options,
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Directories of evaluated runs.")
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            help="File to write, .html.",
            show_default="report.html in the run's directory; of several runs, here",
        ),
    ] = None,
    users: Annotated[
        int, typer.Option(min=1, help="Users of a run whom the page lets explore at most.")
    ] = 1000,
) -> None:
    """Write one HTML page of evaluated runs: tables, figures, users to explore, how it was made.

    The file needs no other one and no network. Of several runs it starts with a comparison. What
    the explorer of users shows is computed once and kept in explore/ in the run's directory.
    """
    from metaselector.common.files import about
    from metaselector.common.progress import Bars
    from metaselector.config.plugins.consent import CodeNotAllowed
    from metaselector.report.page.folders import folders_of
    from metaselector.report.page.write import write_page
    from metaselector.runs.run import Run
    from metaselector.runs.stages.explore import explore

    runs = list(dict.fromkeys(runs))
    if output is None:
        output = Path("report.html") if len(runs) > 1 else runs[0] / "report.html"
    if output.suffix.lower() not in (".html", ".htm") or output.is_dir():
        raise UserError(f"{output}: choose the name of a file that ends in .html")
    for run in runs:
        folders_of(run)  # before anything takes time
    no_users = {}
    for run in runs:
        # Such as a run of which only the tables were kept, or whose plug-in is not installed here.
        try:
            config = load(options, run / "config.yaml")
        except CodeNotAllowed:
            raise
        except UserError as error:
            no_users[run] = str(error)
            continue
        use(config)
        try:
            explore(Run(run, config), Bars(), users)
        except UserError as error:
            no_users[run] = str(error)
    write_page(runs, output, no_users)
    say(f"{output} ({about(output.stat().st_size)})")
