"""The data behind the user explorer on a run's page.

Nothing is trained and no result changes. Predictions are those that evaluation saved; only the
inner steps are computed again, for many users at once.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metaselector.common.errors import DataError, UserError
from metaselector.common.files import atomic_directory, read_json
from metaselector.common.progress import Progress
from metaselector.data.microseconds import as_seconds
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.titles import load_titles
from metaselector.data.splitting.episodes import EpisodeRows, load_episodes
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import task_name
from metaselector.evaluate.table_file import load_table
from metaselector.meta.variants import Variant
from metaselector.report.page.users import ABOUT, FOLDER
from metaselector.runs.run import Run

EXPLORED: Variant = "metaselector"
"""The variant whose inner steps are shown."""
SCORED = ("uniform", "sample-selector", "metaselector-simplified", EXPLORED, "oracle-user")
"""Models whose logloss is shown beside that of the base models."""
MOST_USERS, MOST_ROWS = 1000, 200
_FORMAT = 1
_AGAIN = "run `metaselector evaluate` again"


def explore(run: Run, progress: Progress, most_users: int = MOST_USERS) -> Path:
    """Write ``explore/`` in the run's directory, unless it is up to date.

    It covers the users of the last evaluation split (for new users, the one with the largest
    support size; with a split by date, all users) and the run's first seed. If there are more than
    `most_users`, it takes that many at even distances. It lists the first :data:`MOST_ROWS` test
    rows of a user; losses are over all rows. Of a user who is predicted block by block, support and
    inner steps are those of the last block.

    - ``support.parquet``: ``user, item, title, timestamp``, ``label_<task>`` (nan if not observed).
      The timestamp is in seconds; in a tabular data set it counts the rows.
    - ``test.parquet``: ``user, item, title, timestamp, task, y``, ``p_<model>``.
    - ``losses.parquet``: ``user, task, model, rows, logloss``.
    - ``steps.parquet``: ``user, step, support_loss, weight_<base model>, moved_<group>``, see
      :class:`metaselector.meta.inner_steps.InnerSteps`; empty if the checkpoints are gone.
    - ``about.json``: the rest, and why steps are missing if they are.

    Returns:
        The folder.

    Raises:
        DataError: a file of evaluation or of the prepared data is missing or damaged.
        CheckpointError: the data was prepared with different settings.
    """
    folder = run.directory / FOLDER
    made_of = _fingerprint(run, most_users)
    if _is_current(folder, made_of):
        progress.skipped("users for the explorer")
        return folder
    episodes = run.protocol.overall.test
    users = pd.unique(episodes.users)
    total = len(users)
    if total > most_users:
        users = users[np.linspace(0, total - 1, most_users).round().astype(np.int64)]
        episodes = episodes.some(np.flatnonzero(np.isin(episodes.users, users)))
    last = episodes.some(np.flatnonzero(np.diff(episodes.users, append=-1)))
    tables = _Rows(run, episodes, last).tables()
    reason = ""
    try:
        tables["steps"] = _steps(run, last, progress)
    except UserError as error:  # the checkpoints or a plug-in are gone
        reason, tables["steps"] = str(error), pd.DataFrame({"user": [], "step": []})
    about = {
        "made_of": made_of,
        "seed": run.config.seeds[0],
        "model": EXPLORED,
        "base_models": list(run.config.base_models),
        "tasks": list(run.dataset.schema.tasks),
        "timed": not FittedEncoder.load(run.data_directory).rows.tabular,
        "table": run.protocol.overall.name,
        "users": total,
        "without_steps": reason,
    }
    with atomic_directory(folder) as target:
        for name, table in tables.items():
            table.to_parquet(target / f"{name}.parquet", compression="zstd", index=False)
        (target / ABOUT).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    return folder


def _predictions(run: Run, task: int) -> Path:
    folder = run.directory / run.task_folders[task] / run.protocol.overall.folder
    return folder / "predictions.parquet"


def _fingerprint(run: Run, most_users: int) -> dict[str, Any]:
    """Return what the files depend on, as JSON."""
    digests = []
    for task in range(len(run.task_folders)):
        path = _predictions(run, task)
        if not path.exists():
            raise DataError(path, f"no predictions here; {_AGAIN}")
        with path.open("rb") as file:
            digests.append(hashlib.file_digest(file, "sha256").hexdigest())
    settings = run.config.model_dump(mode="json", exclude={"threads", "device", "evaluate"})
    text = json.dumps(settings, sort_keys=True)
    return {
        "format": _FORMAT,
        "predictions": digests,
        "settings": hashlib.sha256(text.encode()).hexdigest(),
        "data": run.dataset.digest(),
        "most_users": most_users,
    }


def _is_current(folder: Path, made_of: dict[str, Any]) -> bool:
    try:
        about = read_json(folder / ABOUT)
        return about["made_of"] == made_of and not about["without_steps"]
    except (OSError, ValueError, KeyError, TypeError):
        return False


class _Rows:
    """Builds the tables of test rows, and of the support rows of each user's `last` episode."""

    def __init__(self, run: Run, episodes: EpisodeRows, last: EpisodeRows) -> None:
        self._run, self._episodes, self._last = run, episodes, last
        encoder = FittedEncoder.load(run.data_directory)
        self._items, self._timed = encoder.items.index, not encoder.rows.tabular
        self._titles = load_titles(run.data_directory)

    def tables(self) -> dict[str, pd.DataFrame]:
        dataset = self._run.dataset
        support = self._last.flat("support")[0]
        labels = zip(dataset.schema.tasks, dataset.task_labels[support].T, strict=True)
        columns = {f"label_{task}": of_task for task, of_task in labels}
        tests, losses = [], []
        for task in range(len(self._run.task_folders)):
            test, loss = self._test(task)
            tests.append(test)
            losses.append(loss)
        # Keeps the tasks of one row together.
        test = pd.concat(tests).sort_values("at", kind="stable").drop(columns="at")
        return {
            "support": self._described(support).assign(**columns),
            "test": test,
            "losses": pd.concat(losses),
        }

    def _described(self, rows: np.ndarray) -> pd.DataFrame:
        dataset = self._run.dataset
        users = np.asarray(dataset.user_names, dtype=object)[dataset.users[rows]]
        codes = dataset.items[rows]
        items = list(self._items[codes]) if len(self._items) else [""] * len(rows)
        times = dataset.timestamps[rows]
        columns = {
            "user": pd.array(users, dtype="str"),
            "item": pd.array(items, dtype="str"),
            "title": pd.array([self._titles.get(item, "") for item in items], dtype="str"),
            "timestamp": as_seconds(times) if self._timed else np.asarray(times),
        }
        return pd.DataFrame(columns)

    def _test(self, task: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return the test rows and the losses of one task."""
        dataset, config = self._run.dataset, self._run.config
        rows = self._episodes.flat("query")[0]
        rows = rows[~np.isnan(dataset.task_labels[rows, task])]
        path = _predictions(self._run, task)
        saved = load_table(path).seeds.get(config.seeds[0])
        names = list(config.base_models)
        sources = dataset.source_rows[rows]
        if (
            saved is None
            or saved.rows is None
            or not {*names, EXPLORED} <= set(saved.p)
            or not np.isin(sources, saved.rows).all()
        ):
            raise DataError(path, f"has different rows or models than the run; {_AGAIN}")
        at = np.searchsorted(saved.rows, sources)
        p = pd.DataFrame({model: of[at] for model, of in saved.p.items()})
        test = self._described(rows)
        test["at"] = rows
        test["task"] = task_name(dataset, task)
        test["y"] = dataset.task_labels[rows, task]
        # One new column at a time would fragment the frame.
        shown = p[[EXPLORED, *names]].add_prefix("p_")
        table = pd.concat([test, shown], axis=1)
        kept = table[table.groupby("user").cumcount() < MOST_ROWS]
        models = [*names, *(name for name in SCORED if name in p)]
        losses = pd.DataFrame(row_logloss(test[["y"]], p[models]), columns=models)
        by_user = losses.groupby(test["user"], sort=False)
        means = by_user.mean().melt(ignore_index=False, var_name="model", value_name="logloss")
        means["rows"] = by_user.size()
        found = means.reset_index().assign(task=task_name(dataset, task))
        return kept, found[["user", "task", "model", "rows", "logloss"]]


def _steps(run: Run, episodes: EpisodeRows, progress: Progress) -> pd.DataFrame:
    """Return the inner steps of all users, computed chunk by chunk."""
    dataset, config, seed = run.dataset, run.config.adapt, run.config.seeds[0]
    model = run.checkpoints.load_adapted(EXPLORED, seed)
    names = np.asarray(dataset.user_names, dtype=object)
    # Users with similar numbers of rows share a chunk, which needs less padding.
    order = np.argsort((episodes.query >= 0).sum(axis=1), kind="stable")
    chunks = range(0, len(order), config.max_users_per_chunk)
    parts = []
    with progress.task("inner steps of users", len(chunks)) as advance:
        for start in chunks:
            chosen = order[start : start + config.max_users_per_chunk]
            some = episodes.some(chosen)
            batch = load_episodes(dataset, some).to(run.config.device)
            found = model.trace(batch)
            taken, users = found.support_loss.shape
            columns: dict[str, Any] = {
                "at": np.tile(chosen, taken),
                "user": np.tile(names[some.users], taken),
                "step": np.repeat(np.arange(taken), users),
                "support_loss": found.support_loss.ravel(),
            }
            for k, name in enumerate(run.config.base_models):
                columns[f"weight_{name}"] = found.weights[:, :, k].ravel()
            columns |= {f"moved_{name}": moved.ravel() for name, moved in found.moved.items()}
            parts.append(pd.DataFrame(columns))
            advance()
    return pd.concat(parts).sort_values(["at", "step"]).drop(columns="at")
