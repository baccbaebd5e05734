"""Analyse where the results of an evaluated run come from.

Nothing is trained and no result changes. Everything is computed from the files of evaluation,
except the inner steps, which predict *test* again. Labels of *test* serve only as outcomes: they
never decide the bin of a row or user. Their one choice is the simple combiner that MetaSelector is
compared with, the one with the best results.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.common.progress import Progress
from metaselector.data.splitting.drawn import some_users
from metaselector.evaluate.alignment import PredictionTable
from metaselector.evaluate.analysis.breakdown import best_on_valid, breakdown, improvements
from metaselector.evaluate.analysis.calibration import calibration
from metaselector.evaluate.analysis.heterogeneity import heterogeneity
from metaselector.evaluate.analysis.row_facts import row_facts
from metaselector.evaluate.analysis.training_records import cost_curves, equal_cost, kept_rates
from metaselector.evaluate.analysis.weights import user_entropy, weight_summary
from metaselector.evaluate.combiners import COMBINERS
from metaselector.evaluate.metrics import auc
from metaselector.evaluate.selector_weights import FILE, by_selector
from metaselector.evaluate.table_file import load_table
from metaselector.meta.variants import Variant
from metaselector.report.analysis_summary import write_analysis_summary
from metaselector.report.figures.analysis import write_analysis_figures
from metaselector.report.figures.run import FIGURES
from metaselector.report.inputs import read_table
from metaselector.runs.run import Run

STEPS = (0, 1, 3, 5, 10)
"""Numbers of inner steps to predict with, besides the number the run was trained with."""
MOST_USERS = 10_000
"""Users of *test*, drawn at random, whose inner steps are measured, if there are more."""
METASELECTORS: tuple[Variant, ...] = ("metaselector-simplified", "metaselector")


def analyse(run: Run, progress: Progress) -> list[Path]:
    """Write tables, figures and a summary to ``analysis/`` in the run's directory.

    Returns:
        The files written.

    Raises:
        DataError: a file of evaluation is missing or damaged.
        CheckpointError: a checkpoint is missing, or was trained with different settings.
        UserError: the run has new users or several tasks.
    """
    if len(run.task_folders) > 1:
        raise UserError(
            f"{run.directory}: analyse supports one task, but this run has "
            f"{', '.join(run.dataset.schema.tasks)}; their tables are in {run.task_folders[0]} and "
            "the folders beside it"
        )
    if run.config.protocol != "warm":
        raise UserError(
            f"{run.directory}: analyse compares windows of known users; it needs protocol=warm, "
            f"but this run has protocol={run.config.protocol}"
        )
    directory = run.directory / "analysis"
    tables = from_files(run, progress) | {"steps": inner_steps(run, progress)}
    written = []
    for name, table in tables.items():
        written.append(directory / f"{name}.csv")
        write_text(written[-1], table.to_csv(index=False))
    with progress.task("figures and summary", 2) as advance:
        written += write_analysis_figures(directory)
        advance()
        written.append(write_analysis_summary(run.directory))
        advance()
    return written


def from_files(run: Run, progress: Progress) -> dict[str, pd.DataFrame]:
    """Return every table except that of the inner steps, by name."""
    directory, config = run.directory, run.config
    test = load_table(directory / "predictions.parquet")
    valid = load_table(directory / "valid_predictions.parquet")
    recorded = {
        name: read_table(directory / FIGURES[figure].file, FIGURES[figure].columns)
        for name, figure in (
            ("history", "learning_curves"),
            ("rates", "learned_rates"),
        )
    }
    curves = cost_curves(recorded["history"])
    if curves.empty:
        progress.note(
            "history.csv has no seconds per epoch, because an earlier version trained this run; "
            "the cost of training is left out"
        )
    (split,) = run.protocol.evaluation_splits
    tested = np.sort(split.test.flat("query")[0])  # not all, if evaluate.max_users is set
    facts = row_facts(run.dataset, config.split, tested)
    with progress.task("users, weights, improvements, calibration", 4) as advance:
        users = heterogeneity(valid, test, list(config.base_models))
        advance()
        weights = _weights(directory / FILE)
        advance()
        improved = _breakdown(run, valid, test, facts)
        advance()
        calibrated = calibration(test)
        advance()
    return {
        "best_models": users.best,
        "confusion": users.confusion,
        "stability": users.stability,
        "correlation": users.correlation,
        **weights,
        "rows": facts,
        "breakdown": improved,
        "rates": kept_rates(recorded["rates"]),
        "reliability": calibrated.curves,
        "calibration": calibrated.errors,
        "cost_curves": curves,
        "cost": equal_cost(curves),
    }


def _weights(path: Path) -> dict[str, pd.DataFrame]:
    """Return the tables of the selectors' weights, made selector by selector."""
    parts = [(weight_summary(table), user_entropy(table)) for table in by_selector(path)]
    named = zip(("weights", "entropy"), zip(*parts, strict=True), strict=True)
    return {name: pd.concat(tables, ignore_index=True) for name, tables in named}


def _breakdown(
    run: Run, valid: PredictionTable, test: PredictionTable, facts: pd.DataFrame
) -> pd.DataFrame:
    """Return improvements, per bin, of both MetaSelectors and of the strongest simple combiner."""
    best_single = best_on_valid(valid)
    improved = improvements(test, best_single, {*COMBINERS, *METASELECTORS})
    simple = [model for model in improved if model in COMBINERS]
    strongest = [improved[simple].mean().idxmax()] if simple else []
    shown = [*strongest, *(model for model in METASELECTORS if model in improved)]
    generator = np.random.default_rng(run.config.seeds[0])
    found = breakdown(improved[shown], facts, run.config.evaluate.resamples, generator)
    return found.assign(baseline=" or ".join(dict.fromkeys(best_single.values())))


def inner_steps(run: Run, progress: Progress) -> pd.DataFrame:
    """Return AUC and logloss on *test* with fewer or more inner steps than in training.

    They are of :data:`MOST_USERS` users at most.

    Fewer steps use the first learned ones; more steps repeat the last one.

    Returns:
        Columns ``seed, model, steps, trained_steps, auc, logloss``. For a run trained without inner
        steps, only zero steps.
    """
    config, dataset = run.config, run.dataset
    trained = config.adapt.steps
    tried = sorted({*STEPS, trained}) if trained else [0]
    (split,) = run.protocol.evaluation_splits
    episodes = some_users(split.test, MOST_USERS)
    records = []
    work = len(config.seeds) * len(METASELECTORS) * len(tried)
    with progress.task("inner steps", work) as advance:
        for seed in config.seeds:
            for variant in METASELECTORS:
                model = run.checkpoints.load_adapted(variant, seed)
                for steps in tried:
                    found = model.with_steps(steps).predict(dataset, episodes)
                    area = auc(dataset.labels[found.rows], found.probabilities)
                    records.append((seed, variant, steps, trained, area, found.loss()))
                    advance()
    columns = ["seed", "model", "steps", "trained_steps", "auc", "logloss"]
    return pd.DataFrame(records, columns=columns)
