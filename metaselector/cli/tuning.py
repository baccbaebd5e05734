"""The command that searches for settings."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.completion import targets
from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import open_run, training
from metaselector.cli.options import ALLOW_CODE, BASE_MODELS, JSON, QUIET, RUN, TRAINED
from metaselector.cli.written import say_written
from metaselector.common.errors import UserError
from metaselector.common.extras import install_extra
from metaselector.common.streams import say


@with_options(
    *(RUN, "target", "trials", "timeout", "study", BASE_MODELS, *TRAINED),
    *(ALLOW_CODE, JSON, QUIET),
)
def tune(
    options: Options,
    space: Annotated[
        Path,
        typer.Option(
            help="YAML file of what to try: lines such as adapt.steps: {low: 1, high: 4} (whole "
            "numbers, because both ends are) or adapt.inner_lr_phi: {low: 0.1, high: 3.0, log: "
            "true}; step can replace log, and choices, a list, can replace the range.",
        ),
    ],
    target: Annotated[
        str,
        typer.Option(
            help="Model whose loss is minimised: a selector (metaselector, "
            "metaselector-simplified, sample-selector), or a base model, for which only its own "
            "settings and those of peer learning can be tuned.",
            autocompletion=targets,
        ),
    ] = "metaselector",
    trials: Annotated[
        int, typer.Option(min=1, help="Total number of trials, including those of earlier calls.")
    ] = 30,
    timeout: Annotated[
        float | None,
        typer.Option(
            min=0, help="Start no further trial after this many seconds.", show_default="none"
        ),
    ] = None,
    study: Annotated[
        Path | None,
        typer.Option(
            help="SQLite file that stores the trials, so that the same command can continue them.",
            show_default="tune/<target>.db in the run's directory",
        ),
    ] = None,
    as_json: bool = False,
) -> None:
    """Search settings with Optuna for the lowest mean valid loss over the seeds; never sees test.

    Needs prepared data; missing base models are pretrained. Models that the run has trained are
    kept. The chosen settings are written to tune/<target>.yaml, which --config accepts.

    The best of many trials is partly luck with the valid window, so its valid loss is optimistic,
    the more so the more trials there are. Run `metaselector evaluate` to measure it on test.
    """
    try:
        from metaselector.runs.tuning.search import tune as search
    except ModuleNotFoundError as error:
        raise UserError(
            f"tuning needs Optuna, but the module {error.name} is not installed; "
            f"run {install_extra('tune')}"
        ) from error

    this = open_run(options)
    with training(this, options) as progress:
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
    written = (found.settings, found.trials)
    if as_json:
        say_written(
            written,
            as_json=True,
            target=target,
            before=found.before,
            best=found.best,
            trial=found.number,
            trials=found.finished,
            chosen=found.chosen,
        )
        return
    say(
        f"valid logloss {found.best:.4f} in trial {found.number}, the best of {found.finished}; "
        f"{found.before:.4f} with the previous settings ({found.best - found.before:+.4f})"
    )
    for key, value in found.chosen.items():
        say(f"  {key}: {value}")
    say_written(written, as_json=False)
