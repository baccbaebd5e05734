"""Find the folders of a run directory that have tables."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from metaselector.common.errors import DataError, UserError
from metaselector.report.inputs import read_table
from metaselector.report.support import SUPPORT_COLUMNS, SUPPORT_FILE
from metaselector.report.tasks import TASKS_COLUMNS, TASKS_FILE

RESULTS_FILE = "results.csv"


class Folder(NamedTuple):
    """A folder with a table.

    Attributes:
        path: the folder.
        title: title of its table; empty if the run has no other table.
        overview: whether its table summarises several others.
    """

    path: Path
    title: str
    overview: bool


def folders_of(run_dir: Path) -> list[Folder]:
    """All folders with a table, overviews before the tables they summarise.

    Raises:
        UserError: the run does not exist or was not evaluated.
        DataError: ``tasks.csv`` or ``support.csv`` is damaged.
    """
    if not run_dir.is_dir():
        raise UserError(f"{run_dir}: directory not found; pass the directory of an evaluated run")
    if not any((run_dir / name).exists() for name in (TASKS_FILE, SUPPORT_FILE, RESULTS_FILE)):
        raise UserError(
            f"{run_dir}: has no results yet; run `metaselector evaluate --run {run_dir}` first"
        )
    if not (run_dir / TASKS_FILE).exists():
        return _of_task(run_dir, "")
    tasks = read_table(run_dir / TASKS_FILE, TASKS_COLUMNS)["task"].astype("str")
    found = [Folder(run_dir, "all tasks", overview=True)]
    for task in dict.fromkeys(tasks):
        found += _of_task(run_dir / f"task-{task}", f"task {task}")
    return found


def _of_task(folder: Path, title: str) -> list[Folder]:
    if not (folder / SUPPORT_FILE).exists():
        if not (folder / RESULTS_FILE).exists():
            raise DataError(
                folder / RESULTS_FILE, "file not found; run `metaselector evaluate` again"
            )
        apart = [
            Folder(folder / name, _joined(title, f"{name} users"), overview=False)
            for name in ("known", "new")
            if (folder / name / RESULTS_FILE).exists()
        ]
        whole = _joined(title, "all users") if apart else title
        return [Folder(folder, whole, overview=False), *apart]
    support = read_table(folder / SUPPORT_FILE, SUPPORT_COLUMNS)
    found = [Folder(folder, _joined(title, "all support sizes"), overview=True)]
    for size in sorted(support["support_size"].unique()):
        name = _joined(title, f"{size} support rows")
        found.append(Folder(folder / f"support-{size}", name, overview=False))
    return found


def _joined(*parts: str) -> str:
    return ", ".join(filter(None, parts))
