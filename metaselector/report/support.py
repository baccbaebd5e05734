"""Overview of a run on new users: models by support size."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path

from metaselector.report.groups import group_of, in_groups
from metaselector.report.inputs import only_value, read_command, read_origin, read_table
from metaselector.report.summary import OVER_SEEDS, Summary, mean_cells, seed_list

SUPPORT_FILE = "support.csv"
SUPPORT_COLUMNS = (
    "dataset",
    "seed",
    "model",
    "support_size",
    "common_auc",
    "common_logloss",
    "common_users",
    "common_test",
)
_METRICS = {"common_logloss": "logloss", "common_auc": "AUC"}


def read_support(run_dir: Path) -> Summary:
    """Read the overview from ``support.csv``: means over seeds, on the rows left at all sizes.

    Raises:
        DataError: ``support.csv`` or ``environment.json`` is missing or damaged.
    """
    path = run_dir / SUPPORT_FILE
    support = read_table(path, SUPPORT_COLUMNS)
    sizes = sorted(support["support_size"].unique())
    models = in_groups(support["model"])
    columns = [
        mean_cells(support[support["support_size"] == size], models, metric)
        for metric in _METRICS
        for size in sizes
    ]
    lines = dict(zip(models, map(list, zip(*columns, strict=True)), strict=True))
    users, rows = (support[name].iloc[0] for name in ("common_users", "common_test"))
    notes = [
        f"{seed_list(support)}; column titles give the support size, the number of a new user's "
        "first rows that are known.",
        f"All columns use the same {rows:,} rows of {users:,} users, the rows after a user's first "
        f"{sizes[-1]}, so that they are comparable. The folders support-<n> have the tables of all "
        "rows after the first n, and all users who have such rows.",
    ]
    if support["seed"].nunique() > 1:
        notes.append(OVER_SEEDS)
    made_with = run_dir / "environment.json"
    title, about_copy = read_origin(made_with, only_value(support, "dataset", path))
    return Summary(
        name=f"{title}, cold-start users",
        notes=[*about_copy, *notes],
        titles=[f"{title} {size}" for title in _METRICS.values() for size in sizes],
        groups=[(g, [(m, lines[m]) for m in mine]) for g, mine in groupby(models, key=group_of)],
        command=read_command(made_with),
    )
