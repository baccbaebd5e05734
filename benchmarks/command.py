"""Options, tables and error handling that the command lines of all benchmarks share."""

from __future__ import annotations

import shlex
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import torch
import typer
from rich.console import Console
from rich.table import Table

from benchmarks import measure
from metaselector.common.errors import UserError
from metaselector.runs import environment

JsonOption = Annotated[Path, typer.Option("--json", help="JSON file to write the figures to.")]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Your own copy of MovieLens-100K.", show_default="fetched into data/"
    ),
]
RawFilesOption = Annotated[
    Path | None,
    typer.Option(
        "--data", help="Your own copy of the raw files.", show_default="fetched into data/"
    ),
]
DeviceOption = Annotated[str, typer.Option(help="Torch device.")]
ThreadsOption = Annotated[int, typer.Option(min=1, help="CPU threads of torch.")]
MostThreadsOption = Annotated[
    int,
    typer.Option(
        "--threads", min=1, help="Time with one CPU thread and with so many; the faster counts."
    ),
]
RepeatsOption = Annotated[int, typer.Option(min=1, help="Timed calls of each task.")]


SeedsOption = Annotated[int, typer.Option(min=1, help="Number of seeds, starting at 0.")]
RunsOption = Annotated[Path, typer.Option(help="Folder to keep the runs in.")]
ConfigOption = Annotated[Path, typer.Option(help="YAML file of settings.")]
OutputOption = Annotated[Path, typer.Option(help="Folder to write the results to.")]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; may be repeated."),
]


class Timing(NamedTuple):
    """The options of a benchmark that times tasks.

    Attributes:
        json: file to write the figures to.
        data: the user's copy of MovieLens-100K; None fetches it.
        device: torch device.
        repeats: timed calls of each task.
        threads: numbers of CPU threads to time each task with; the fastest counts.
    """

    json: Path
    data: Path | None
    device: str
    repeats: int
    threads: tuple[int, ...] = (1,)

    def fastest(
        self, tasks: Mapping[str, Callable[[], object]], **settings: Any
    ) -> tuple[dict[str, list[float]], dict[str, int]]:
        """See :func:`benchmarks.measure.fastest`."""
        return measure.fastest(tasks, threads=self.threads, device=self.device, **settings)

    def save(
        self, figures: Mapping[str, Any], raw: Mapping[str, Any], packages: tuple[str, ...]
    ) -> None:
        """Write the figures, what they come from, the machine and the versions of `packages`."""
        where = {
            "machine": measure.machine(self.device),
            "versions": measure.versions(*packages),
        }
        measure.save(self.json, {**figures, "raw": raw, **where})


def new_app() -> typer.Typer:
    """An empty command line."""
    return typer.Typer(add_completion=False, pretty_exceptions_enable=False)


def timing_app(time: Callable[[Timing], None]) -> typer.Typer:
    """The command line of a benchmark that times tasks; its help is the docstring of `time`."""
    app = new_app()

    @app.command(help=time.__doc__)
    def main(
        json: JsonOption,
        data: DataOption = None,
        device: DeviceOption = "cpu",
        threads: MostThreadsOption = 2,
        repeats: RepeatsOption = 5,
    ) -> None:
        torch.set_num_threads(threads)
        time(Timing(json, data, device, repeats, (1, threads) if threads > 1 else (1,)))

    return app


def run(app: typer.Typer) -> None:
    """Run the command line; a user error prints one line and exits with code 2.

    SIGTERM ends it like Ctrl-C, so child processes and their networks end too.
    """
    signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        app()
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)


def published_command(left_out: Mapping[str, bool] = {}) -> str:
    """The command line of this process for readers elsewhere: paths outside this folder are names.

    Args:
        left_out: options of this machine, such as ``--run``, that are left out, and whether each
            has a value.
    """
    words, found = iter(shlex.split(environment.command())), []
    for word in words:
        option, equals, value = word.partition("=")
        if option in left_out:
            if left_out[option] and not equals:
                next(words, None)
            continue
        found.append(f"{option}={_near(value)}" if equals else _near(word))
    return shlex.join(found)


def _near(word: str) -> str:
    """A path that leaves the current folder as its name; anything else as it is."""
    path = Path(word)
    return path.name if path.is_absolute() or ".." in path.parts else word


def print_table(first: str, others: list[str], rows: Mapping[str, list[str]], title: str) -> None:
    """Print `rows` by name, numbers right-aligned."""
    table = Table(first, title=title)
    for column in others:
        table.add_column(column, justify="right")
    for name, cells in rows.items():
        table.add_row(name, *cells)
    Console().print(table)


def print_figures(found: Mapping[str, float | None], targets: Mapping[str, str]) -> None:
    """Print the published figures beside their targets."""
    rows = {
        name: ["not measured" if value is None else f"{value:,.2f}", targets.get(name, "")]
        for name, value in found.items()
    }
    print_table("figure", ["measured", "target"], rows, "figures")
