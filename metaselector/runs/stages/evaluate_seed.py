"""Predictions of *test* by everything that was trained with one seed, per task."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from metaselector.config import TABLE_ROWS
from metaselector.data.splitting.episodes import EpisodeRows
from metaselector.data.splitting.protocol import EvaluationSplit, Window
from metaselector.evaluate import oracles
from metaselector.evaluate.alignment import Aligned, concatenated
from metaselector.evaluate.combiners import Combiner, PerUser, Predictions, usable_combiners
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.predictions import aligned_rows
from metaselector.evaluate.row_features import RowFeatures, row_features
from metaselector.evaluate.selector_weights import SelectorWeights
from metaselector.meta.adapted import WindowPredictions
from metaselector.meta.variants import Variant, kind_of
from metaselector.runs.run import Run
from metaselector.runs.stages.base_outputs import base_probabilities


@dataclass(frozen=True)
class Outputs:
    """Predictions of base models for n rows.

    Attributes:
        rows: int64 ``[n]``, positions in the data set.
        users: int64 ``[n]``.
        episodes: int64 ``[n]``, which episode a row belongs to; new users may have several.
        base: probabilities, float64 ``[n, K, T]``.
        labels: float32 ``[n, T]``, nan where a task is not observed.
        features: features of the rows, for stacking; None where nothing is stacked.
    """

    rows: NDArray[np.int64]
    users: NDArray[np.int64]
    episodes: NDArray[np.int64]
    base: NDArray[np.float64]
    labels: NDArray[np.float32]
    features: RowFeatures | None

    def of(self, task: int, *, by_episode: bool = False) -> Predictions:
        """Return the predictions of the rows in which a task is observed.

        Args:
            by_episode: name the episode of a row as its user.
        """
        observed = ~np.isnan(self.labels[:, task])
        seen = slice(None) if observed.all() else observed  # a slice copies nothing
        y = self.labels[seen, task].astype(np.float64)
        return Predictions(
            self.base[seen, :, task],
            (self.episodes if by_episode else self.users)[seen],
            order=self.rows[seen],
            y=y,
            features=None if self.features is None else self.features.values[seen],
            categorical=() if self.features is None else self.features.categorical,
        )


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


class SeedPredictions(NamedTuple):
    """Predictions of everything that was trained with one seed, for all tasks.

    Attributes:
        fitting: of *valid*, by the base models trained on *train*.
        unseen, train_only: of *test*, by the refitted base models and by those trained on *train*.
        support, own: of the support sets of *valid* and *test*, if base models have not seen them.
        adapted: of *test*, by each variant.
    """

    fitting: Outputs
    unseen: Outputs
    train_only: Outputs
    support: Outputs | None
    own: Outputs | None
    adapted: dict[Variant, WindowPredictions]


def predict_seed(run: Run, evaluation_split: EvaluationSplit, seed: int) -> SeedPredictions:
    """Predict with everything of one seed. Workers share the work, so all of them must call it."""
    is_unseen = evaluation_split.support_is_unseen
    return SeedPredictions(
        _outputs(run, "train", seed, evaluation_split.valid, "query"),
        _outputs(run, "full", seed, evaluation_split.test, "query"),
        _outputs(run, "train", seed, evaluation_split.test, "query", stacked=False),
        _outputs(run, "train", seed, evaluation_split.valid, "support") if is_unseen else None,
        _outputs(run, "full", seed, evaluation_split.test, "support") if is_unseen else None,
        {variant: _adapted(run, evaluation_split, seed, variant) for variant in run.variants},
    )


def evaluate_seed(run: Run, evaluation_split: EvaluationSplit, seed: int) -> list[SeedEvaluation]:
    """Evaluate all models of one seed, in the order of the table; one result per task."""
    fitting, unseen, train_only, support, own, adapted = predict_seed(run, evaluation_split, seed)
    found = []
    for task in range(len(run.dataset.schema.tasks)):
        combiners = (
            _fitted_combiners(fitting.of(task))
            if support is None or own is None
            else _tuned_combiners(task, fitting, unseen, support, own)
        )
        parts = (fitting.of(task), unseen.of(task), train_only.of(task))
        found.append(_evaluate_task(run, seed, task, *parts, combiners, adapted))
    return found


def _adapted(
    run: Run, evaluation_split: EvaluationSplit, seed: int, variant: Variant
) -> WindowPredictions:
    """Return the predictions of *test* by a variant."""
    model = run.checkpoints.load_adapted(variant, seed, split=evaluation_split)
    return model.predict(run.dataset, evaluation_split.test)


def _evaluate_task(
    run: Run,
    seed: int,
    task: int,
    fitting: Predictions,
    unseen: Predictions,
    train_only: Predictions,
    combiners: dict[str, Combiner],
    adapted: dict[Variant, WindowPredictions],
) -> SeedEvaluation:
    """Return all rows of one task's table; see :class:`SeedPredictions` for the arguments."""
    dataset, names = run.dataset, list(run.config.base_models)
    test, y, full = unseen.order, unseen.labels(), unseen.base
    columns = {name: full[:, k] for k, name in enumerate(names)}
    columns |= {f"{name}-train": train_only.base[:, k] for k, name in enumerate(names)}
    columns |= {name: each.predict(unseen.unlabelled()) for name, each in combiners.items()}
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


def _outputs(
    run: Run,
    window: Window,
    seed: int,
    episodes: EpisodeRows,
    part: Literal["support", "query"],
    *,
    stacked: bool = True,
) -> Outputs:
    """Return what the base models of `window` predict for one part of the episodes."""
    dataset, (rows, limits) = run.dataset, episodes.flat(part)
    asked = part == "query"
    base = base_probabilities(run, window, seed, rows, limits, to_predict=asked)  # [n, K, T]
    shown = dataset.as_predicted if asked else dataset
    features = row_features(shown, rows, limits) if stacked else None
    users, labels = dataset.users[rows], dataset.task_labels[rows]
    owner = np.nonzero(getattr(episodes, part) >= 0)[0]
    return Outputs(rows, users, owner, base, labels, features)
