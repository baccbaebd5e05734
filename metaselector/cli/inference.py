"""The commands that use trained models: predict and explain."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import open_run, use
from metaselector.cli.options import ALLOW_CODE, JSON, MACHINE, ONE_SEED, QUIET, RUN
from metaselector.cli.written import say_written
from metaselector.common.streams import put_out, say


@with_options(ONE_SEED, *MACHINE, "allow_unknown", ALLOW_CODE, JSON, QUIET)
def predict(
    options: Options,
    history: Annotated[
        Path,
        typer.Option(
            help="Past interactions of users: .csv, .tsv, .txt or .jsonl (optionally .gz, .zst or "
            ".bz2), .parquet, a folder of such files, or a quoted pattern such as 'logs/*.csv', "
            "with the columns of the data and its label; may hold rows of several users, or only "
            "the header."
        ),
    ],
    run: Annotated[
        Path,
        typer.Option("--run", help="Directory of a trained run, or of a model saved from Python."),
    ],
    candidates: Annotated[
        Path | None,
        typer.Option(
            help="Rows to predict: the same columns, without the label.",
            show_default="popular items that the user has no row with, at the history's last time",
        ),
    ] = None,
    items: Annotated[
        int, typer.Option(min=1, help="Without --candidates, how many items per user.")
    ] = 10,
    output: Annotated[
        Path | None,
        typer.Option(
            help="File to write, .csv, .tsv or .parquet.", show_default="standard output, as CSV"
        ),
    ] = None,
    seed: int | None = None,
    allow_unknown: Annotated[
        bool,
        typer.Option(
            "--allow-unknown",
            help="Predict even if the model has seen none of the items, or none of the words of a "
            "feature.",
            show_default="off",
        ),
    ] = False,
    as_json: bool = False,
) -> None:
    """Adapt to each user's history and predict later rows, even of new users and new items.

    Columns have the names in the data's own files (user, item, rating, and timestamp in seconds for
    data sets with a name). Prints the candidates with the probability and each base model's weight.
    A note counts the users, items and words that the model has never seen. Without --candidates,
    each user's most probable items come first.
    """
    from metaselector.inference.prediction_files import (
        as_json_text,
        as_text,
        check_name,
        write_rows,
    )
    from metaselector.inference.prediction_stream import predicted_tables
    from metaselector.inference.trained import open_trained

    if output is not None:
        check_name(output)
    trained, _ = open_trained(run, seed, options.settings, use, allow_code=options.allow_code)
    with predicted_tables(
        trained, history, candidates, items=items, allow_unknown=allow_unknown
    ) as tables:
        if output is None:
            for text in as_json_text(tables) if as_json else as_text(tables):
                put_out(text)
        else:
            write_rows(tables, output)
            say_written([output], as_json=as_json)


@with_options(RUN, ONE_SEED, *MACHINE, ALLOW_CODE, JSON, QUIET)
def explain(
    options: Options,
    user: Annotated[str, typer.Option(help="The user's name in the data.")],
    seed: int | None,
    as_json: bool,
) -> None:
    """Explain what adapting to a user changed: weights before and after, and which rows moved them.

    Weights are means over the user's test window. A support row's influence is half the sum, over
    base models, of the absolute change in mean weight if adaptation never sees the row.

    Writes explain/user-<user>.csv and .png in the run's directory; names that are not safe
    as file names get a hash appended.
    """
    from metaselector.inference.explanation import explain_user
    from metaselector.report.as_json import records
    from metaselector.report.explanation import described, write_explanation

    this = open_run(options)
    found = explain_user(this, user, seed)
    if not as_json:
        say(described(*found))
    tables = {"weights": records(found.weights), "rows": records(found.rows)} if as_json else {}
    written = write_explanation(this.directory / "explain", *found)
    say_written(written, as_json=as_json, user=user, **tables)
