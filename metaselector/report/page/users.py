"""Data of the page's user explorer, as compact JSON."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from metaselector.common.errors import DataError
from metaselector.common.files import read_json
from metaselector.report.inputs import read_table

FOLDER, ABOUT = "explore", "about.json"
_AGAIN = f"remove the folder {FOLDER} and run `metaselector report` again"
_ROW = ("user", "item", "title", "timestamp")
_COLUMNS = {
    "support": _ROW,
    "test": (*_ROW, "task", "y"),
    "losses": ("user", "task", "model", "rows", "logloss"),
    "steps": ("user", "step"),
}


def users_of(run_dir: Path) -> dict[str, Any]:
    """Read what :func:`metaselector.runs.stages.explore.explore` wrote to ``explore/``.

    Returns:
        A mapping with ``about`` of that stage and the names of columns; ``items``, pairs of item
        and title; and ``users``. A user has ``name``; ``support``, columns of item (as an index),
        time and labels; ``test``, columns of item, time, task, label, and the probability of every
        model in ten-thousandths; ``losses`` by task, the number of rows and every model's logloss;
        and ``steps``, lines of support loss, weights and parameter changes.

    Raises:
        DataError: a file is missing or damaged.
    """
    folder = run_dir / FOLDER
    try:
        about = read_json(folder / ABOUT)
    except (OSError, ValueError) as error:
        raise DataError(folder / ABOUT, f"missing or damaged; {_AGAIN}") from error
    tables = {
        name: read_table(folder / f"{name}.parquet", columns, _AGAIN)
        for name, columns in _COLUMNS.items()
    }
    support, test, steps = tables["support"], tables["test"], tables["steps"]
    items = _items(support, test)
    place = {item: i for i, (item, _) in enumerate(items)}
    scored = list(dict.fromkeys(tables["losses"]["model"]))
    predicted = [name for name in map(str, test) if name.startswith("p_")]
    labels = [name for name in map(str, support) if name.startswith("label_")]
    inner = [name for name in map(str, steps) if name not in _COLUMNS["steps"]]
    of_support, of_test, of_steps = (_by_user(table) for table in (support, test, steps))
    users = []
    for user, losses in tables["losses"].groupby("user", sort=False):
        rows, tested, taken = of_support.get(user), of_test[user], of_steps.get(user)
        entry: dict[str, Any] = {"name": user, "losses": {}, "support": [], "steps": []}
        for task, of_task in losses.groupby("task", sort=False):
            values = of_task.set_index("model")["logloss"].reindex(scored)
            entry["losses"][task] = [int(of_task["rows"].iloc[0]), *_numbers(values)]
        if rows is not None:
            entry["support"] = [_places(rows, place), rows["timestamp"].tolist()]
            entry["support"] += [_whole(rows[name]) for name in labels]
        entry["test"] = [_places(tested, place), tested["timestamp"].tolist()]
        entry["test"] += [tested["task"].tolist(), _whole(tested["y"])]
        entry["test"] += [_whole(tested[name] * 10_000) for name in predicted]
        if taken is not None:
            lines = taken[inner].itertuples(index=False, name=None)
            entry["steps"] = [_numbers(line) for line in lines]
        users.append(entry)
    about |= {
        "scored": scored,
        "predicted": [name.removeprefix("p_") for name in predicted],
        "labels": [name.removeprefix("label_") for name in labels],
        "inner": inner,
    }
    return {"about": about, "items": items, "users": users}


def _items(*tables: pd.DataFrame) -> list[list[str]]:
    both = pd.concat([table[["item", "title"]] for table in tables]).drop_duplicates("item")
    return [list(map(str, pair)) for pair in both.itertuples(index=False, name=None)]


def _by_user(table: pd.DataFrame) -> dict[Any, pd.DataFrame]:
    return dict(iter(table.groupby("user", sort=False)))


def _places(rows: pd.DataFrame, place: dict[str, int]) -> list[int]:
    return [place[item] for item in rows["item"]]


def _whole(values: pd.Series) -> list[int | None]:
    return [None if math.isnan(value) else round(value) for value in values]


def _numbers(values: Iterable[float]) -> list[float | None]:
    return [None if math.isnan(value) else round(value, 4) for value in values]
