"""The commands that judge what was trained: evaluate and analyse."""

from __future__ import annotations

from metaselector.cli.options import (
    AllowCodeOption,
    DeviceOption,
    LaterConfigOption,
    RunOption,
    SeedOption,
    SetOption,
    ThreadsOption,
    WorkersOption,
    open_run,
    training,
)
from metaselector.common.streams import say


def evaluate(
    run: RunOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    allow_code: AllowCodeOption = False,
    workers: WorkersOption = None,
) -> None:
    """Predict the test window with all that was trained; write results, tables and figures."""
    from metaselector.runs.stages.reproduce import evaluate_and_report

    this = open_run(
        run,
        config,
        overrides,
        allow_code=allow_code,
        seeds=seed or None,
        device=device,
        threads=threads,
    )
    with training(this) as progress:
        evaluate_and_report(this, progress)


def analyse(
    run: RunOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    allow_code: AllowCodeOption = False,
) -> None:
    """Say how an evaluated run comes to its results: users, weights, calibration, inner steps.

    Writes analysis/ in the run's directory: tables, figures, and summary.md, which explains them.
    """
    from metaselector.common.progress import Bars
    from metaselector.runs.lock import locked
    from metaselector.runs.stages.analyse import analyse as analyse_run

    this = open_run(run, None, None, allow_code=allow_code, device=device, threads=threads)
    with locked(this.directory):
        written = analyse_run(this, Bars())
    for path in written:
        say(path)
