"""The command line: ``app`` and ``main``. Commands import what they need when they run.

So ``--help`` does not wait for torch.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from metaselector.cli.completion import join_words
from metaselector.cli.data import data_app
from metaselector.cli.evaluation import analyse, evaluate
from metaselector.cli.headroom import headroom
from metaselector.cli.inference import explain, predict
from metaselector.cli.notes import noted
from metaselector.cli.report import report
from metaselector.cli.saving import card, save
from metaselector.cli.settings import config_command, plugins
from metaselector.cli.training import meta_train, pretrain, reproduce
from metaselector.cli.tuning import tune
from metaselector.common import __version__
from metaselector.common.errors import UserError
from metaselector.common.streams import say, sturdy_streams, tell
from metaselector.common.text import one_line
from metaselector.training.distributed import launch


class _Commands(TyperGroup):
    """Commands whose errors about options print on one line, whatever was typed or pasted."""

    def make_context(
        self, info_name: str | None, args: list[str], parent: Any = None, **more: Any
    ) -> Any:
        # The object of the context, which commands share, is the command line as it was typed.
        with _printable():
            return super().make_context(info_name, args, parent, obj=tuple(args), **more)

    def invoke(self, ctx: Any) -> Any:
        with _printable():
            return super().invoke(ctx)


@contextmanager
def _printable() -> Iterator[None]:
    try:
        yield
    except Exception as error:
        message = getattr(error, "message", None)  # typer's own, which it prints
        if isinstance(message, str):
            error.message = one_line(message)  # type: ignore[attr-defined]
        raise


app = typer.Typer(
    name="metaselector",
    cls=_Commands,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    pretty_exceptions_enable=False,
)


def _version(asked: bool) -> None:
    if asked:
        say(f"metaselector {__version__}")
        raise typer.Exit()


@app.callback()
def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Print the version and exit.", is_eager=True, callback=_version
        ),
    ] = False,
) -> None:
    """User-level adaptive model selection for recommenders."""


app.add_typer(data_app, name="data")
app.command()(predict)
app.command()(explain)
app.command()(save)
app.command()(card)
app.command()(report)
app.command("config")(config_command)
app.command()(plugins)
app.command()(pretrain)
app.command("meta-train")(meta_train)
app.command()(tune)
app.command()(evaluate)
app.command()(analyse)
app.command()(headroom)
app.command()(reproduce)


def main() -> None:
    """Entry point: a user's mistake prints one line on standard error and exits with code 2."""
    # OpenMP reads it when torch is imported. Threads that wait by spinning take the cores from
    # other processes: small steps were seen to take 25 times as long on a busy machine.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    with sturdy_streams() as streams:
        code = _run()
        if not code:
            try:
                streams.finish()
            except UserError as error:
                tell(f"error: {error}")
                code = 2
    sys.exit(code)


def _run() -> str | int | None:
    """Run the command; return the exit code of the process."""
    several = launch.launched()
    try:
        if several and launch.ended():
            return 0
        join_words()
        with noted():
            app()
    except UserError as error:
        if launch.rank() == 0:  # one of several workers is enough
            tell(f"error: {error}")
        return launch.end(2)
    except (OSError, MemoryError, RuntimeError) as error:
        problem = _of_the_machine(error)
        if several or problem is None:  # torchrun restarts workers, as after a lost connection
            raise
        tell(f"error: {problem}")
        return 2
    except SystemExit as ended:
        if several and isinstance(ended.code, int) and ended.code > 1:  # wrong options or a signal
            return launch.end(ended.code)
        return ended.code
    return 0


def _of_the_machine(error: Exception) -> str | None:
    """What the system refused, such as a path or memory, and what to do; None for other errors."""
    if isinstance(error, OSError):
        where = "" if error.filename is None else f"{os.fsdecode(error.filename)}: "
        return one_line(f"{where}{error.strerror or error}; check the path")
    text = str(error)
    if isinstance(error, MemoryError) or "allocate memory" in text or "out of memory" in text:
        return one_line(
            f"not enough memory ({text.strip().partition(chr(10))[0] or 'no details'}); "
            "reduce a batch size or data.history_length, or use a larger machine"
        )
    return None
