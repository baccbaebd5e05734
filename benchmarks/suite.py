"""All long tables: which there are, and how one command makes them.

    python -m benchmarks.tables --suite --data-folder DIR

First every table is checked: its files are read and prepared, and what cannot be finished is
refused before anything is trained. Then each table is made by a process of its own, so that one
that fails does not end the others. A table that is complete, with the same settings and data, is
not made again. At last :mod:`benchmarks.suite_summary` collects the tables.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from subprocess import run as run_process
from typing import Any, Literal, NamedTuple

import typer

from benchmarks.long_table import check_table, check_writable, kept_files
from benchmarks.suite_entries import ENTRIES, Entry
from benchmarks.suite_summary import write_summary
from metaselector.common.errors import UserError, nearest
from metaselector.common.files import read_json
from metaselector.common.progress import Bars
from metaselector.config import Config, load_config
from metaselector.data.fetch import SOURCES, fetch
from metaselector.runs.run import CONFIG, Run
from metaselector.runs.session import session
from metaselector.runs.stage_costs import Measured
from metaselector.runs.stages.prepare import prepare_run

CONFIGS = Path(__file__).parent / "configs"
FETCHED = Path("data")


class Options(NamedTuple):
    """What the command line chooses.

    Attributes:
        only: names of tables; empty for all.
        data_folder: folder with the files of the data sets; None fetches them.
        runs: folder of the runs.
        output: folder of the tables.
        seeds: number of seeds, instead of each table's own.
        config: settings, instead of each table's own.
        overrides: further settings, ``key=value``.
    """

    only: Sequence[str] = ()
    data_folder: Path | None = None
    runs: Path = Path("runs")
    output: Path = Path("benchmarks/results")
    seeds: int | None = None
    config: Path | None = None
    overrides: Sequence[str] = ()


State = Literal["ready", "finished", "skipped", "refused", "made", "failed"]


class Outcome(NamedTuple):
    """What became of a table; `reason` is why it was skipped or refused, or how it failed."""

    state: State
    reason: str = ""


Make = Callable[[list[str]], int]
"""Runs ``python -m benchmarks.tables`` with arguments, and returns its exit code."""


def run_tables(arguments: list[str]) -> int:
    """Make one table in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.tables", *arguments]
    return run_process(command, check=False).returncode


def make_suite(
    options: Options, entries: Sequence[Entry] = ENTRIES, make: Make = run_tables
) -> int:
    """Make the tables that `options` choose, then the page of all.

    Returns:
        The number of tables that were refused or that failed.

    Raises:
        UserError: a name is unknown, or `options.output` or `options.runs` cannot be written.
    """
    chosen = _chosen(entries, options.only)
    for folder in (options.output, options.runs):
        check_writable(folder)
    typer.echo(f"checking {len(chosen)} table(s) before anything is trained")
    outcomes: dict[str, Outcome] = {}
    unfetched: dict[str, str] = {}
    for entry in chosen:
        outcomes[entry.name] = _examine(entry, options, unfetched)
        _tell(entry.name, outcomes[entry.name])
    for entry in chosen:
        if outcomes[entry.name].state != "ready":
            continue
        typer.echo(f"making {entry.name}")
        code = make(_arguments(entry, options))
        outcomes[entry.name] = Outcome("made") if code == 0 else Outcome("failed", _ended(code))
        _tell(entry.name, outcomes[entry.name])
    write_summary(options.output, [entry.name for entry in entries])
    typer.echo("all tables:")
    for name, outcome in outcomes.items():
        _tell(name, outcome)
    return sum(outcome.state in {"refused", "failed"} for outcome in outcomes.values())


def _chosen(entries: Sequence[Entry], only: Sequence[str]) -> list[Entry]:
    names = [entry.name for entry in entries]
    for name in only:
        if name not in names:
            raise UserError(f"--only {name}: no such table; {nearest(name, names)}")
    return [entry for entry in entries if not only or entry.name in only]


def _examine(entry: Entry, options: Options, unfetched: dict[str, str]) -> Outcome:
    """Prepare the data of a table and check everything that can be checked before training.

    Args:
        unfetched: why data sets could not be fetched, so that each is tried once.
    """
    config = options.config or CONFIGS / entry.config
    if not config.exists():
        return Outcome("skipped", f"{config}: file not found")
    if options.data_folder is None:
        if entry.dataset not in SOURCES:
            return Outcome("skipped", f"cannot be fetched; put {entry.file} into a --data-folder")
        if entry.dataset not in unfetched:
            unfetched[entry.dataset] = _fetched(entry.dataset)
        if unfetched[entry.dataset]:
            return Outcome("skipped", unfetched[entry.dataset])
    try:
        source = _source(entry, options)
        run = Run(options.runs / entry.name, _settings(entry, options))
        with session(run, Bars()) as progress:
            with Measured(progress, run.directory).task("prepare data", 1) as advance:
                prepare_run(run, source, FETCHED)
                advance()
            check_table(run)
            is_finished = finished(run, options.output / entry.name)
    except UserError as error:
        return Outcome("refused", str(error))
    return Outcome("finished" if is_finished else "ready")


def _fetched(dataset: str) -> str:
    """Fetch a data set; returns why it is not there, or an empty string."""
    try:
        fetch(dataset, FETCHED)
    except UserError as error:
        return str(error)
    return ""


def _source(entry: Entry, options: Options) -> Path | None:
    """The file of a table's data; None if it is fetched."""
    if options.data_folder is None or not entry.file:
        return None
    path = options.data_folder / entry.file
    if not path.exists():
        raise UserError(f"{path}: file not found; put it there, or leave {entry.name} out")
    return path


def _settings(entry: Entry, options: Options) -> Config:
    seeds = list(range(options.seeds or entry.seeds))
    changes: dict[str, Any] = {"seeds": seeds, "protocol": entry.protocol}
    changes |= {"dataset": entry.dataset} if entry.dataset in SOURCES else {}
    config = options.config or CONFIGS / entry.config
    return load_config(config, options.overrides, changes=changes)


def finished(run: Run, table: Path) -> bool:
    """Whether `table` holds all files of a run with these settings and prepared data."""
    if not all((table / name).exists() for name in kept_files(run)):
        return False
    try:
        same_data = read_json(table / "environment.json")["data_sha256"] == run.dataset.digest()
        return same_data and _numbers(load_config(table / CONFIG)) == _numbers(run.config)
    except (OSError, ValueError, KeyError, TypeError, UserError):  # edited, or of another version
        return False


def _numbers(config: Config) -> dict[str, Any]:
    """The settings that change numbers by more than rounding."""
    rounding = {"device": True, "threads": True, "jobs": True}
    return config.model_dump(exclude=rounding | {"adapt": {"engine", "max_users_per_chunk"}})


def _arguments(entry: Entry, options: Options) -> list[str]:
    """The arguments that make one table, which its page shows too."""
    found = ["--dataset", entry.dataset] if entry.dataset in SOURCES else []
    found += ["--protocol", entry.protocol, "--seeds", str(options.seeds or entry.seeds)]
    found += ["--config", str(options.config or _relative(CONFIGS / entry.config))]
    for override in options.overrides:
        found += ["--set", override]
    source = _source(entry, options)
    found += [] if source is None else ["--data", str(source)]
    if entry.dataset not in SOURCES:  # the schema may have another name
        found += ["--name", entry.name]
    found += ["--run", str(options.runs / entry.name), "--output", str(options.output)]
    return [*found, "--prepared"]


def _relative(path: Path) -> Path:
    """`path` as seen from here, if it lies here."""
    here = Path.cwd()
    return path.relative_to(here) if path.is_relative_to(here) else path


def _ended(code: int) -> str:
    if code < 0:
        return f"ended by signal {-code}; if that is 9, it may have run out of memory"
    return f"exit code {code}; its message is above, and the same command continues it"


def _tell(name: str, outcome: Outcome) -> None:
    reason = f" ({outcome.reason})" if outcome.reason else ""
    typer.echo(f"{name:<34} {outcome.state}{reason}")
