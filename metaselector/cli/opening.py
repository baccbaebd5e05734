"""Opening the run that a command's options describe."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from metaselector.cli.declare import Options
from metaselector.common.errors import UserError
from metaselector.common.streams import tell
from metaselector.training.distributed import launch

if TYPE_CHECKING:
    from metaselector.common.progress import Progress
    from metaselector.config import Config
    from metaselector.runs.run import Run


def open_run(options: Options, *, fresh: bool = False) -> Run:
    """The run that the options describe; its settings are saved beside its results.

    Args:
        options: those of the command.
        fresh: start from the defaults even if the run has a config.yaml.

    Raises:
        UserError: a setting is wrong, or there is nothing to resume.
    """
    from metaselector.data.own.own_log import is_schema
    from metaselector.models.registry import add_files
    from metaselector.runs.run import Run

    config, run = options.config, options.run
    if options.shard_tables and not launch.launched():
        raise UserError("--shard-tables: there is only one worker; add --workers N")
    if options.resume and config is not None:
        raise UserError("--resume continues with the run's own settings; omit --config")
    if run is None:
        wanted = load(options, config)
        # A schema is named by its path.
        name = Path(wanted.dataset).stem if is_schema(wanted.dataset) else wanted.dataset
        run = Path("runs") / (name if wanted.protocol == "warm" else f"{name}-{wanted.protocol}")
    saved = run / "config.yaml"
    if options.resume and not saved.exists():
        raise UserError(f"{run}: nothing to resume, found no config.yaml; omit --resume")
    if config is None and (options.resume or not fresh) and saved.exists():
        config = saved
    settings = add_files(load(options, config), options.base_models or ())
    use(settings)
    return Run(run, settings, shard_tables=options.shard_tables)


def load(options: Options, config: Path | None, *, allow_code: bool = False) -> Config:
    """The settings of the file `config`, changed by the options."""
    from metaselector.config import load_config

    return load_config(
        config,
        options.overrides or (),
        options.settings,
        allow_code=allow_code or options.allow_code,
        typed=options.base_models or (),
    )


def use(config: Config) -> None:
    """Check the device of `config` and set the number of torch threads."""
    import torch

    from metaselector.runs.environment import check_device

    check_device(config.device)
    # torchrun sets the number of threads of each worker.
    torch.set_num_threads(_threads_of_worker() if launch.launched() else config.threads_of_process)


def _threads_of_worker() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "1")
    first = given.partition(",")[0].strip()  # the others are for nested loops
    if not first.isdecimal() or not 1 <= int(first) <= 1024:
        raise UserError(f"OMP_NUM_THREADS={given}: must be a number from 1 to 1024")
    return int(first)


def progress(options: Options) -> Progress:
    """Where a command reports progress."""
    from metaselector.common.progress import Bars, Silent

    return Silent() if options.quiet else Bars()


@contextmanager
def training(run: Run, options: Options) -> Iterator[Progress]:
    """Lock and track a training in the run's directory; Ctrl-C exits with code 130."""
    from metaselector.runs.session import session
    from metaselector.training.loop.interruption import Interrupted

    try:
        with session(run, progress(options)) as tracked:
            yield tracked
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        if launch.rank() == 0:  # one of several workers is enough
            tell(
                f"interrupted; progress is saved in {run.directory}; "
                "run the same command to continue"
            )
        raise typer.Exit(128 + number) from error
