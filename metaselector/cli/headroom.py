"""The command that measures how much selecting a base model per user can win."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import open_run, progress
from metaselector.cli.options import ALLOW_CODE, JSON, QUIET, RUN
from metaselector.common.errors import UserError
from metaselector.common.streams import console, put_out, say


@with_options(RUN, "predictions", "output", "figure", "seed", "resamples", ALLOW_CODE, JSON, QUIET)
def headroom(
    options: Options,
    predictions: Annotated[
        Path | None,
        typer.Option(
            help="Predictions of any system instead of a run: .csv or .parquet with the columns "
            "user and label (0 or 1), and one column of probabilities per model.",
            show_default="those of the run",
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            help="CSV file to write, for --predictions.",
            show_default="headroom.csv beside the predictions",
        ),
    ] = None,
    figure: Annotated[
        Path | None,
        typer.Option(
            help="PNG file for the figure: gain by rows of evidence, and users' support sizes.",
            show_default="for a run, figures/headroom.png beside the results",
        ),
    ] = None,
    seed: Annotated[
        int | None,
        typer.Option(
            min=0,
            help="Seed of the run's models, and of the random draws.",
            show_default="all of the run's, and their mean; 0 for --predictions",
        ),
    ] = None,
    resamples: Annotated[
        int, typer.Option(min=1, help="Resamples of users for the intervals.")
    ] = 1000,
    as_json: bool = False,
) -> None:
    """Measure how much choosing one base model per user can win, before meta-training anything.

    Needs only predictions for test and valid: of a run's base models, which must be trained or be
    files of scores, or a table of any system's. Prints gains in logloss on the best single model
    with 95 % intervals: of the oracle, by chance, with half of each user's rows, with perfect
    knowledge, and with n rows. With several seeds, the value is their mean.

    Writes headroom.csv beside the results, and the figure of a run.
    """
    import numpy as np

    from metaselector.evaluate.headroom_table import headroom_table, read_wide
    from metaselector.report.as_json import as_text, records
    from metaselector.report.headroom import HEADROOM_FIGURE, HEADROOM_FILE
    from metaselector.report.terminal import print_headroom
    from metaselector.runs.stages.headroom import headroom_tables, measure_headroom
    from metaselector.runs.stages.kept_headroom import write_headroom

    asked = [] if figure is None else [figure]
    if figure is not None and (figure.suffix.lower() != ".png" or figure.is_dir()):
        raise UserError(f"{figure}: choose a file name that ends in .png")
    if predictions is None:
        if output is not None:
            raise UserError("--output is for --predictions; a run's headroom.csv is kept in it")
        this = open_run(options)
        if figure is not None and len(headroom_tables(this)) > 1:
            raise UserError(
                f"--figure is for one table, but {this.directory} has several; "
                f"the figure of each is {HEADROOM_FIGURE} in the folder of its results"
            )
        found = [
            (folder / HEADROOM_FILE, table, [folder / HEADROOM_FIGURE, *asked])
            for folder, table in measure_headroom(this, seed, resamples, progress(options))
        ]
    else:
        if options.run is not None:
            raise UserError("pass either --run or --predictions")
        generator = np.random.default_rng(seed or 0)
        table = headroom_table(read_wide(predictions), predictions.stem, generator, resamples)
        found = [(output or predictions.parent / HEADROOM_FILE, table, asked)]
    for path, table, figures in found:
        write_headroom(path, table, figures)
        if not as_json:
            print_headroom(table, console())
            for written in (path, *figures):
                say(written)
    if as_json:
        rows = [{"file": str(path), **row} for path, table, _ in found for row in records(table)]
        put_out(as_text({"headroom": rows}))
