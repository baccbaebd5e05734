"""The command that searches settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import open_run, training
from metaselector.cli.options import ALLOW_CODE, BASE_MODELS, RUN, TRAINED
from metaselector.common.errors import UserError
from metaselector.common.streams import say


@with_options(RUN, "target", "trials", "timeout", "study", BASE_MODELS, *TRAINED, ALLOW_CODE)
def tune(
    options: Options,
    space: Annotated[
        Path,
        typer.Option(
            help="YAML file of what to try: lines such as adapt.steps: {low: 1, high: 4} (whole "
            "numbers, as both ends are) or adapt.inner_lr_phi: {low: 0.1, high: 3.0, log: true}; "
            "instead of log, step; instead of a range, choices, a list.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            help="Whose loss is minimised: a selector (metaselector, metaselector-simplified, "
            "sample-selector), or a base model, for which only its own settings can be tuned, and "
            "those of teaching."
        ),
    ] = "metaselector",
    trials: Annotated[
        int, typer.Option(min=1, help="Trials in all, with those of earlier calls.")
    ] = 30,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0, help="Seconds after which no further trial starts.", show_default="none"
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file that keeps the trials, so that the same command goes on with them.",
            show_default="tune/<target>.db in the run's directory",
        ),
    ] = None,
) -> None:
    """Search settings with Optuna for the lowest mean valid loss over the seeds; never sees test.

    Needs prepared data; base models that are missing are pretrained. What the run has trained
    stays. The chosen settings are left in tune/<target>.yaml, which --config takes.

    The best of many trials is partly luck with the valid window: its valid loss flatters it, the
    more the more trials there are. What it is worth, evaluate tells.
    """
    try:
        from metaselector.runs.tuning.search import tune as search
    except ModuleNotFoundError as error:
        raise UserError(
            f"tuning needs Optuna: there is no module {error.name}; "
            "pip install 'metaselector[tune]' brings it"
        ) from error

    this = open_run(options)
    with training(this) as progress:
        found = search(
            this,
            space,
            target,
            trials,
            progress,
            timeout=timeout,
            study=study,
            allow_code=options.allow_code,
        )
    say(
        f"valid logloss {found.best:.4f} in trial {found.number}, the best of {found.finished}; "
        f"{found.before:.4f} with the settings before ({found.best - found.before:+.4f})"
    )
    for key, value in found.chosen.items():
        say(f"  {key}: {value}")
    for path in (found.settings, found.trials):
        say(path)
