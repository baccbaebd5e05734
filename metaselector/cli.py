"""The command line. Heavy imports wait until a command runs, so that ``--help`` is quick."""

from __future__ import annotations

import errno
import os
import sys

import typer

from metaselector.cli_data import data_app
from metaselector.cli_evaluation import analyse, evaluate
from metaselector.cli_inference import explain, predict
from metaselector.cli_report import report
from metaselector.cli_settings import config_command, plugins
from metaselector.cli_training import meta_train, pretrain, reproduce
from metaselector.cli_tuning import tune
from metaselector.distributed import launch
from metaselector.errors import UserError

app = typer.Typer(
    name="metaselector",
    help="User-level adaptive model selection for recommenders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.add_typer(data_app, name="data")
app.command()(predict)
app.command()(explain)
app.command()(report)
app.command("config")(config_command)
app.command()(plugins)
app.command()(pretrain)
app.command("meta-train")(meta_train)
app.command()(tune)
app.command()(evaluate)
app.command()(analyse)
app.command()(reproduce)


def main() -> None:
    """Entry point: a user's mistake is one line on standard error and exit code 2."""
    several = os.environ.get("WORLD_SIZE", "1") != "1"  # torchrun has started this process
    try:
        if several and launch.ended():
            sys.exit(0)
        app()
    except (UserError, OSError) as error:
        if isinstance(error, OSError):
            if error.errno != errno.ENAMETOOLONG:
                raise
            error = UserError(f"{str(error.filename)[:80]}…: the name is too long; correct it")
        if os.environ.get("RANK", "0") == "0":  # one of several is enough
            print(f"error: {error}", file=sys.stderr)
        sys.exit(launch.end(2) if several else 2)
    except SystemExit as ended:
        if several and isinstance(ended.code, int) and ended.code > 1:  # wrong options, or a signal
            sys.exit(launch.end(ended.code))
        raise


if __name__ == "__main__":
    main()
