"""Overview of a run with several tasks: models by task."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from metaselector.report.groups import group_of, in_groups
from metaselector.report.inputs import only_value, read_command, read_origin, read_table
from metaselector.report.summary import OVER_SEEDS, Summary, mean_cells, seed_list

TASKS_FILE = "tasks.csv"
TASKS_COLUMNS = ("dataset", "protocol", "seed", "model", "task", "auc", "logloss", "n_test")
_METRICS = {"auc": "AUC", "logloss": "logloss"}


def read_tasks(run_dir: Path) -> Summary:
    """Read the overview from ``tasks.csv``: means over seeds and, with new users, support sizes.

    Raises:
        DataError: ``tasks.csv`` or ``environment.json`` is missing or damaged.
    """
    path = run_dir / TASKS_FILE
    results = read_table(path, TASKS_COLUMNS)
    models = in_groups(results["model"])
    tasks = list(dict.fromkeys(results["task"]))
    by_seed = results.groupby(["task", "seed", "model"], sort=False)[list(_METRICS)].mean()
    averaged = by_seed.reset_index()
    columns = [
        mean_cells(averaged[averaged["task"] == task], models, metric)
        for task in tasks
        for metric in _METRICS
    ]
    lines = dict(zip(models, map(list, zip(*columns, strict=True)), strict=True))
    rows = results.groupby("task", sort=False)["n_test"].first()
    notes = [
        f"{seed_list(results)}; test rows: "
        + ", ".join(f"{rows[task]:,} of {task}" for task in tasks)
        + ". Each task is evaluated on the rows that observe it; the folders task-<name> have the "
        "full tables, with intervals.",
    ]
    if results["seed"].nunique() > 1:
        notes.append(OVER_SEEDS)
    protocols = list(dict.fromkeys(results["protocol"]))
    if len(protocols) > 1:
        notes.append(f"Averaged over {', '.join(protocols)}.")
    made_with = run_dir / "environment.json"
    title, about_copy = read_origin(made_with, only_value(results, "dataset", path))
    return Summary(
        name=f"{title}, {' and '.join(tasks)}",
        notes=[*about_copy, *notes],
        titles=[f"{task} {title}" for task in tasks for title in _METRICS.values()],
        groups=[(g, [(m, lines[m]) for m in mine]) for g, mine in groupby(models, key=group_of)],
        command=read_command(made_with),
    )
