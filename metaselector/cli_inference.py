"""The commands that use what was trained: predict and explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli_options import DeviceOption, RunOption, ThreadsOption, open_run, use
from metaselector.common.streams import put_out, say

OneSeedOption = Annotated[
    int | None,
    typer.Option("--seed", help="Which seed's models.", show_default="the run's first"),
]


def predict(
    history: Annotated[
        Path,
        typer.Option(
            help="What users are known to have done: .csv, .tsv or .parquet with the columns of "
            "the data and its label; may hold rows of several users, or only the header."
        ),
    ],
    candidates: Annotated[
        Path, typer.Option(help="Rows to predict: the same columns, without the label.")
    ],
    run: Annotated[
        Path,
        typer.Option("--run", help="Directory of a trained run, or of a model saved from Python."),
    ],
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .csv or .parquet.", show_default="standard output, as CSV"
        ),
    ] = None,
    seed: OneSeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Adapt to each user's history and predict rows that come later, of new users and items too.

    Columns are called as in the data's own files (user, item, rating and timestamp, in seconds, of
    data sets with a name). Prints the candidates with the probability and each base model's weight.
    """
    from metaselector.prediction_files import predicted_table, write_rows
    from metaselector.trained import open_trained

    flags = {"device": device, "threads": threads}
    changes = {key: value for key, value in flags.items() if value is not None}
    trained, _ = open_trained(run, seed, changes, use)
    table = predicted_table(trained, history, candidates)
    if output is None:
        put_out(table.to_csv(index=False))
    else:
        write_rows(table, output)
        say(output)


def explain(
    user: Annotated[str, typer.Option(help="The user, as the data call them.")],
    run: RunOption = None,
    seed: OneSeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
) -> None:
    """Say what adapting to a user changed: weights before and after, and which rows moved them.

    The weights are those of the user's test window, its mean. A support row's influence is half the
    sum, over base models, of how much the mean weight changes if adaptation never sees the row.

    Writes explain/user-<user>.csv and .png in the run's directory.
    """
    from metaselector.explanation import explain_user
    from metaselector.report.explanation import described, write_explanation

    this = open_run(run, None, None, device=device, threads=threads)
    found = explain_user(this, user, seed)
    say(described(found.user, found.weights, found.rows))
    folder = this.directory / "explain"
    for path in write_explanation(folder, found.user, found.weights, found.rows):
        say(path)
