"""How fast new rows of many users are predicted, in one call and user by user.

``python -m benchmarks.predict_speed`` trains the default models on MovieLens-100K for an epoch
each, since how well they predict does not matter here. Users with 50 rows or more give 40 rows of
history and 10 candidates each. There are fewer than 1,000 of them, so some come again under a new
name.
"""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pandas as pd
import torch
import typer

from benchmarks import measure, movielens
from benchmarks.command import DataOption, RepeatsOption, ThreadsOption, new_app, print_figures, run
from metaselector import MetaSelector
from metaselector.common.errors import UnknownWarning
from metaselector.data.public.atomic import read_atomic

KEY = "predict_users"
USERS, HISTORY, CANDIDATES = 1_000, 40, 10
ALONE = 20
"""Users that are predicted one by one."""
TARGETS = {"one_call_seconds": "≤ 2"}

app = new_app()


class NewRows(NamedTuple):
    """Labelled rows of users, and rows to predict."""

    histories: pd.DataFrame
    candidates: pd.DataFrame

    def of_users(self, users: int) -> NewRows:
        """The rows of the first `users`."""
        names = self.histories["user"].unique()[:users]
        return NewRows(*(frame[frame["user"].isin(names)] for frame in self))


def new_rows(log: pd.DataFrame, users: int, history: int, candidates: int) -> NewRows:
    """The last rows of each user of `log`, users coming again under new names if they are too few.

    Args:
        log: ``user``, ``item``, ``rating``, ``timestamp``.
        users: how many users.
        history, candidates: how many rows of each.
    """
    log = log.sort_values("timestamp", kind="stable")
    left = log.groupby("user").cumcount(ascending=False)  # rows of the user after this one
    size = log.groupby("user")["user"].transform("size")
    log = log[(size >= history + candidates) & (left < history + candidates)]
    names = log["user"].unique()
    parts = []
    for copy in range(-(-users // len(names))):
        some = log[log["user"].isin(names[: users - copy * len(names)])]
        parts.append(some.assign(user=some["user"] + f" again {copy}") if copy else some)
    rows = pd.concat(parts, ignore_index=True)
    asked = rows.groupby("user").cumcount() >= history
    return NewRows(rows[~asked], rows[asked].drop(columns="rating"))


def trained(data: Path | None, directory: Path, **settings: Any) -> MetaSelector:
    """The default models after an epoch each, saved and loaded."""
    quick = {name: {"pretrain": {"epochs": 1}} for name in MetaSelector().config.base_models}
    model = MetaSelector(
        quick, **{"meta_train": {"epochs": 1}, "selector": {"epochs": 1}} | settings
    )
    model.fit("movielens-100k", data=movielens.files(data))
    model.save(directory)
    return MetaSelector.load(directory)


def measured(
    model: MetaSelector, rows: NewRows, repeats: int, alone: int = ALONE
) -> dict[str, Any]:
    """Seconds of every call, by task."""
    users, few = model.adapt_many(rows.histories), rows.of_users(alone)
    past, asked = (dict(list(frame.groupby("user"))) for frame in few)
    tasks: dict[str, Callable[[], object]] = {
        "one call": lambda: model.predict(rows.histories, rows.candidates),
        "adapted already": lambda: users.predict(rows.candidates),
        f"{alone} users alone": lambda: [
            model.adapt(past[user]).predict(asked[user]) for user in past
        ],
    }
    return measure.interleaved(tasks, repeats=repeats, warm_up=1)


def figures(seconds: dict[str, list[float]], users: int, alone: int = ALONE) -> dict[str, float]:
    """The published figures; times are medians."""
    one_call, again, by_user = map(measure.median, seconds.values())
    return {
        "users": users,
        "one_call_seconds": one_call,
        "adapted_already_seconds": again,
        "alone_seconds_a_user": by_user / alone,
        "over_alone": by_user / alone * users / one_call,
    }


@app.command()
def main(
    json: Annotated[
        Path, typer.Option(help="JSON file to write the figures to, beside what it has.")
    ] = Path("benchmarks/results/speed/run.json"),
    data: DataOption = None,
    threads: ThreadsOption = 2,
    repeats: RepeatsOption = 5,
) -> None:
    """Time predictions for 1,000 users."""
    warnings.simplefilter("ignore", UnknownWarning)  # the users that come again
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        model = trained(data, Path(folder) / "model", threads=threads)
        torch.set_num_threads(threads)
        log = read_atomic(movielens.files(data), "ml-100k").interactions.drop(columns="line")
        rows = new_rows(log, USERS, HISTORY, CANDIDATES)
        seconds = measured(model, rows, repeats)
    found = figures(seconds, USERS)
    about = {"raw": seconds, "machine": measure.machine(), "versions": measure.versions()}
    measure.save_in(json, KEY, found | about)
    print_figures(found, TARGETS)


if __name__ == "__main__":
    run(app)
