"""Predictions of *test* by everything that was trained with one seed, per task."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from metaselector.config import TABLE_ROWS
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.evaluate import oracles
from metaselector.evaluate.alignment import Aligned, concatenated
from metaselector.evaluate.combiners import Combiner, PerUser, Predictions, usable_combiners
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import aligned_rows
from metaselector.evaluate.selector_weights import SelectorWeights
from metaselector.meta.adapted import WindowPredictions
from metaselector.meta.variants import Variant, kind_of
from metaselector.runs.run import Run
from metaselector.runs.stages.base_outputs import BaseOutputs, Outputs, base_outputs


class SeedEvaluation(NamedTuple):
    """The evaluation of one task with one seed.

    Attributes:
        predictions: predictions of *test*.
        valid_predictions: predictions of *valid* by the base models fitted on *train* alone.
        weights: of the selectors on *test*.
        best_single: the single model with the lowest logloss on *valid*.
    """

    predictions: Aligned
    valid_predictions: Aligned
    weights: SelectorWeights
    best_single: str


def joined(parts: Sequence[SeedEvaluation]) -> SeedEvaluation:
    """Join evaluations of one task and seed on different test rows.

    Rows of *valid* that several share count once.
    """
    valid = concatenated([part.valid_predictions for part in parts])
    mean = {name: row_logloss(valid.y, p).mean() for name, p in valid.p.items()}
    weights = [part.weights for part in parts]
    return SeedEvaluation(
        concatenated([part.predictions for part in parts]),
        valid,
        SelectorWeights(
            weights[0].seed,
            np.concatenate([each.users for each in weights]),
            np.concatenate([each.rows for each in weights]),
            {name: np.concatenate([each.of[name] for each in weights]) for name in weights[0].of},
        ),
        min(mean, key=mean.__getitem__),
    )


class Combined(NamedTuple):
    """What adapts no parameters predicts of one task; features of rows are left out.

    Attributes:
        fitting, unseen, train_only: see :class:`BaseOutputs`.
        combiners: probabilities of *test*, float64 ``[n]``, by the combiner's row of the table.
    """

    fitting: Predictions
    unseen: Predictions
    train_only: Predictions
    combiners: dict[str, NDArray[np.float64]]


def help_predict(run: Run, evaluation_split: EvaluationSplit, seed: int) -> None:
    """Do this worker's share of what :func:`evaluate_seed` predicts."""
    base_outputs(run, evaluation_split, seed)
    for variant in run.variants:
        adapted(run, evaluation_split, seed, variant)


def evaluate_seed(run: Run, evaluation_split: EvaluationSplit, seed: int) -> list[SeedEvaluation]:
    """Evaluate all models of one seed, in the order of the table; one result per task.

    Workers share the predictions: the others call :func:`help_predict`.
    """
    outputs = base_outputs(run, evaluation_split, seed)
    by_variant = {v: adapted(run, evaluation_split, seed, v) for v in run.variants}
    return with_adapted(run, seed, _combined(run, outputs), by_variant)


def combined(run: Run, evaluation_split: EvaluationSplit, seed: int) -> list[Combined]:
    """Predict with base models and combiners of one seed, by task."""
    return _combined(run, base_outputs(run, evaluation_split, seed))


def adapted(
    run: Run, evaluation_split: EvaluationSplit, seed: int, variant: Variant
) -> WindowPredictions:
    """Return the predictions of *test* by a variant."""
    model = run.checkpoints.load_adapted(variant, seed, split=evaluation_split)
    return model.predict(run.dataset, evaluation_split.test)


def with_adapted(
    run: Run,
    seed: int,
    combined: Sequence[Combined],
    adapted: Mapping[Variant, WindowPredictions],
) -> list[SeedEvaluation]:
    """Return all rows of each task's table.

    Args:
        combined: by task.
        adapted: of the same split and seed, by variant.
    """
    return [_of_task(run, seed, task, each, adapted) for task, each in enumerate(combined)]


def _combined(run: Run, outputs: BaseOutputs) -> list[Combined]:
    found = []
    fitting, unseen, train_only, support, own = outputs
    for task in range(len(run.dataset.schema.tasks)):
        combiners = (
            _fitted_combiners(fitting.of(task))
            if support is None or own is None
            else _tuned_combiners(task, fitting, unseen, support, own)
        )
        asked = unseen.of(task)
        by_row = {name: each.predict(asked.unlabelled()) for name, each in combiners.items()}
        parts = (fitting.of(task), asked, train_only.of(task))
        bare = [replace(part, features=None, categorical=()) for part in parts]
        found.append(Combined(bare[0], bare[1], bare[2], by_row))
    return found


def _of_task(
    run: Run,
    seed: int,
    task: int,
    combined: Combined,
    adapted: Mapping[Variant, WindowPredictions],
) -> SeedEvaluation:
    """Return all rows of one task's table."""
    dataset, names = run.dataset, list(run.config.base_models)
    fitting, unseen, train_only, combiners = combined
    test, y, full = unseen.order, unseen.labels(), unseen.base
    columns = {name: full[:, k] for k, name in enumerate(names)}
    columns |= {f"{name}-train": train_only.base[:, k] for k, name in enumerate(names)}
    columns |= combiners
    weights: dict[str, NDArray[np.float32]] = {}
    for variant, found in adapted.items():
        seen = np.isin(found.rows, test)  # where the task is observed
        several = found.probabilities.ndim > 1
        columns[variant] = found.probabilities[seen, task] if several else found.probabilities
        if kind_of(variant) != "user-finetuned":  # rivals hardly change weights
            weights[variant] = found.weights[seen, :, task] if several else found.weights
    columns["oracle-sample"] = oracles.oracle_sample(y, full)[0]
    columns["oracle-user"] = oracles.oracle_user(y, full, unseen.users)[0]
    order = (*names, *(f"{name}-train" for name in names), *TABLE_ROWS)
    shown = {model: columns[model] for model in order if model in columns}
    losses = row_logloss(fitting.labels()[:, None], fitting.base)  # [n_valid, K]
    users = np.asarray(dataset.user_names, dtype=object)[dataset.users[test]]
    return SeedEvaluation(
        aligned_rows(dataset, test, shown, task),
        aligned_rows(
            dataset, fitting.order, {name: fitting.base[:, k] for k, name in enumerate(names)}, task
        ),
        SelectorWeights(seed, users, np.asarray(dataset.source_rows[test]), weights),
        names[int(losses.mean(axis=0).argmin())],
    )


def _fitted_combiners(fitting: Predictions) -> dict[str, Combiner]:
    """Return the combiners by their row's name, fitted on the queries of *valid*."""
    return {name: make().fit(fitting) for name, make in usable_combiners().items()}


class _PerEpisode(NamedTuple):
    """A per-user combiner whose users are the episodes of `rows`.

    Rows of an episode without support are predicted by `others`, which saw no row of *test*: the
    support sets of other episodes may be later.
    """

    fitted: Combiner
    others: Combiner
    supported: NDArray[np.int64]
    rows: Outputs

    def fit(self, fitting: Predictions) -> Self:
        return self._replace(fitted=self.fitted.fit(fitting))

    def predict(self, test: Predictions) -> NDArray[np.float64]:
        found = self.others.predict(test)
        episodes = self.rows.episodes[np.searchsorted(self.rows.rows, test.order)]
        known = np.isin(episodes, self.supported)
        mine = replace(test.some(known, labels=False), users=episodes[known])
        found[known] = self.fitted.predict(mine)
        return found


def _tuned_combiners(
    task: int, fitting: Outputs, unseen: Outputs, support: Outputs, own: Outputs
) -> dict[str, Combiner]:
    """Return the combiners for new users.

    Per-user combiners are tuned on *valid*, where `support` comes before `fitting`, then fitted on
    `own`, the support sets of *test*, which come before `unseen`. Each episode of a user is fitted
    on its own support set only.
    """
    found: dict[str, Combiner] = {}
    before, after, mine = (each.of(task, by_episode=True) for each in (support, fitting, own))
    for name, make in usable_combiners().items():
        found[name] = others = make().fit(fitting.of(task))
        combiner = make()
        if isinstance(combiner, PerUser) and len(before.users) and len(mine.users):
            fitted = combiner.tune(before, after).fit(mine)
            found[name] = _PerEpisode(fitted, others, np.unique(mine.users), unseen)
    return found
