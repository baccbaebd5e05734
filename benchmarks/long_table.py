"""One long table: what can be refused before training, and what is kept of its run."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import typer

from benchmarks.data_facts import FACTS_FILE, data_facts
from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.report.rivals import RIVALS_FILE
from metaselector.report.support import SUPPORT_FILE
from metaselector.report.tasks import TASKS_FILE
from metaselector.runs.environment import check_device
from metaselector.runs.run import CONFIG, Run
from metaselector.runs.stage_costs import STAGES_FILE
from metaselector.runs.stages.evaluate import own_metrics
from metaselector.runs.stages.fit_estimator import check_estimators
from metaselector.runs.stages.teach import check_teaching

PAGE = ("summary.md", "summary.tex")
TABLE = ("results.csv", "differences.csv", *PAGE)
MADE_WITH = (CONFIG, "environment.json", STAGES_FILE)


def kept_files(run: Run) -> list[str]:
    """The files of an evaluated run that are kept, relative to its directory.

    Every task has a folder of its own if there are several, and in it every support size, and known
    and new users after a date. Where folders lie below, a folder has an overview.
    """
    found = [*PAGE, *MADE_WITH]
    if len(run.task_folders) > 1:
        found.append(TASKS_FILE)
    splits = [split.folder for split in run.protocol.evaluation_splits]
    for task in map(Path, run.task_folders):
        if run.config.protocol == "cold":
            found += [(task / name).as_posix() for name in (SUPPORT_FILE, *PAGE)]
            tables = splits
        else:
            tables = list(dict.fromkeys([*splits, run.protocol.overall.folder]))
        found += [(task / folder / name).as_posix() for folder in tables for name in TABLE]
    found += [(Path(folder) / RIVALS_FILE).as_posix() for folder in splits]
    return list(dict.fromkeys(found))


def keep(run: Run, output: Path) -> None:
    """Copy the files of an evaluated run to `output`, and write there what its data are like."""
    for file in kept_files(run):
        text = (run.directory / file).read_text(encoding="utf-8")
        write_text(output / file, text)
        typer.echo(output / file)
    write_text(output / FACTS_FILE, data_facts(run).to_csv(index=False, float_format="%.6g"))
    typer.echo(output / FACTS_FILE)


def check_table(run: Run) -> None:
    """Refuse, before anything is trained, a table of prepared data that could not be finished.

    Raises:
        UserError: the device, a metric, an estimator or peer learning cannot be used, there are too
            few users or rows for the protocol, or all labels of a window are equal.
    """
    check_device(run.config.device)
    own_metrics(run.config)
    check_estimators(run, WINDOWS)
    check_teaching(run)
    protocol = run.protocol
    if not len(protocol.sample(protocol.learners, np.random.default_rng(0)).users):
        raise UserError(protocol.nothing_to_learn)
    for split in protocol.evaluation_splits:
        users = len(np.unique(split.test.users))
        if users < 2:
            raise UserError(
                f"{split.name}: the test has {users} user(s), too few for intervals; provide more "
                "users, or move the ends of the windows"
            )
        for window, episodes in (("valid", split.valid), ("test", split.test)):
            rows, _ = episodes.flat("query")
            for task, name in enumerate(run.dataset.schema.tasks):
                labels = run.dataset.task_labels[rows, task]
                labels = labels[~np.isnan(labels)]
                if len(np.unique(labels)) < 2:
                    raise UserError(
                        f"{split.name}: all {len(labels):,} labels '{name}' of {window} are "
                        "equal, so it has no AUC and fits no combiner; choose another "
                        "data.label_threshold, or move the ends of the windows"
                    )


def check_writable(folder: Path) -> None:
    """Raise a :class:`UserError` unless files can be written to `folder`, which is made."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); choose another folder"
        ) from error
