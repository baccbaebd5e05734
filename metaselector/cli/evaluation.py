"""The commands that measure trained models: evaluate and analyse."""

from __future__ import annotations

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import open_run, progress, training
from metaselector.cli.options import (
    ALLOW_CODE,
    JSON,
    MACHINE,
    QUIET,
    RUN,
    SHARD_TABLES,
    TRAINED,
    WORKERS,
)
from metaselector.cli.written import say_written


@with_options(RUN, *TRAINED, ALLOW_CODE, JSON, QUIET, WORKERS, SHARD_TABLES)
def evaluate(options: Options, as_json: bool) -> None:
    """Predict the test window with all trained models; write results, tables and figures."""
    from metaselector.runs.stages.reproduce import evaluate_and_report

    this = open_run(options)
    with training(this, options) as tracked:
        evaluate_and_report(this, tracked, as_json=as_json)


@with_options(RUN, *MACHINE, ALLOW_CODE, JSON, QUIET)
def analyse(options: Options, as_json: bool) -> None:
    """Explain the results of an evaluated run: users, weights, calibration, inner steps.

    Writes analysis/ in the run's directory: tables, figures, and summary.md, which explains them.
    """
    from metaselector.runs.lock import locked
    from metaselector.runs.stages.analyse import analyse as analyse_run

    this = open_run(options)
    with locked(this.directory):
        written = analyse_run(this, progress(options))
    say_written(written, as_json=as_json, run=str(this.directory))
