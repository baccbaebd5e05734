"""Paired bootstrap over users: confidence intervals for the difference between two models.

Users are resampled, not rows, because the rows of a user are not independent. A resample gives each
user an integer weight, the number of times the user was drawn; it applies to all of the user's rows
in every seed and for every model. The mean over seeds is compared, so intervals and p-values
reflect which users were sampled, not seed noise. :mod:`metaselector.evaluate.intervals` makes
intervals and p-values from the resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Progress, Silent
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.alignment import Predictions, by_seed, has_lists
from metaselector.evaluate.checks import checked_rows
from metaselector.evaluate.intervals import effective_users, interval
from metaselector.evaluate.lists import METRICS as WITHIN_LISTS
from metaselector.evaluate.lists import list_rankings
from metaselector.evaluate.losses import row_logloss, user_codes
from metaselector.evaluate.ranking import METRICS as RANKINGS
from metaselector.evaluate.ranking import user_rankings
from metaselector.evaluate.weighted import Weighted, linear_auc, weighted_auc, weighted_mean

METRICS = ("auc", "logloss", *RANKINGS)
"""Metrics with intervals."""

EXACT_USERS = 50_000
"""With more users, AUC of resamples is computed to first order in the users' weights
(:func:`metaselector.evaluate.weighted.linear_auc`), where what is left out is far below its
spread."""
_TOGETHER = 128
"""Resamples at a time. Their weights fit the processor's cache for up to ten thousand users."""
_MOST_WEIGHTS = 2**24
"""Resampled weights at a time, 128 MiB."""


class Difference(NamedTuple):
    """``metric(model) - metric(baseline)``, its 95 % interval and its p-value.

    ``low`` to ``p_floor`` are those of :class:`metaselector.evaluate.intervals.Interval`.
    """

    difference: float
    low: float
    high: float
    p: float
    p_floor: float


@dataclass(frozen=True)
class Resampled:
    """A metric of every model of every seed, on the same resamples of the users.

    Attributes:
        values: by seed and model, ``[1 + R]``: on the original users, then on every resample.
        users: effective number of users.
    """

    values: Mapping[tuple[int, str], Floats]
    users: float

    def __getitem__(self, key: tuple[int, str]) -> Floats:
        """The values of a seed and model."""
        return self.values[key]


def resample(
    predictions: Predictions,
    metrics: Sequence[str],
    n_resamples: int,
    generator: np.random.Generator,
    progress: Progress | None = None,
) -> dict[str, Resampled]:
    """Score every model of every seed on the same resamples of the users.

    Args:
        predictions: the long table, any number of seeds, one task.
        metrics: of ``"auc"``, ``"logloss"``, :data:`metaselector.evaluate.ranking.METRICS` and, if
            the table has lists, :data:`metaselector.evaluate.lists.METRICS`.
        n_resamples: R; use 10,000 or more for p-values that are to be corrected.
        generator: draws the users.
        progress: counts resamples.

    Raises:
        UserError: as :func:`metaselector.evaluate.alignment.align`, or a metric is unknown.

    Example:
        >>> import pandas as pd
        >>> table = pd.DataFrame({"user": ["ann", "bob"] * 2, "row": [0, 1] * 2, "y": [1, 0] * 2})
        >>> table = table.assign(seed=0, task="label", model=["lr", "lr", "fm", "fm"])
        >>> table = table.assign(p=[0.6, 0.4, 0.9, 0.2])
        >>> scores = resample(table, ["logloss"], 100, np.random.default_rng(0))
        >>> scores["logloss"][0, "fm"].shape  # as it is, and 100 times resampled
        (101,)
    """
    known = metrics_of(predictions)
    for metric in metrics:
        if metric not in known:
            raise UserError(f"no bootstrap for metric '{metric}'; {nearest(metric, known)}")
    seeds = dict(by_seed(predictions))
    codes, names = user_codes(np.concatenate([aligned.users for aligned in seeds.values()]))
    ends = np.cumsum([len(aligned.users) for aligned in seeds.values()])[:-1]
    of_seeds = {
        seed: scorers(
            aligned.y,
            np.stack(list(aligned.p.values())),
            users,
            len(names),
            metrics,
            aligned.lists,
        )
        for (seed, aligned), users in zip(seeds.items(), np.split(codes, ends), strict=True)
    }
    original = np.ones((len(names), 1))
    scores = {
        (metric, seed): [scorer.score(original)]
        for seed, of_seed in of_seeds.items()
        for metric, scorer in of_seed.items()
    }
    with (progress or Silent()).task("bootstrap over users", n_resamples) as advance:
        for weights in draws(len(names), n_resamples, generator):
            for (metric, seed), parts in scores.items():
                parts.append(of_seeds[seed][metric].score(weights))
            for _ in weights.T:
                advance()
    found = {}
    for metric in metrics:
        values: dict[tuple[int, str], Floats] = {}
        for seed in seeds:
            of_models = np.concatenate(scores[metric, seed], axis=1)  # [M, 1 + R]
            values |= {(seed, m): v for m, v in zip(seeds[seed].p, of_models, strict=True)}
        sizes = np.sum([of_seeds[seed][metric].sizes for seed in seeds], axis=0)
        found[metric] = Resampled(values, effective_users(sizes))
    return found


def draws(n_users: int, n_resamples: int, generator: np.random.Generator) -> Iterator[Floats]:
    """Draw R resamples of the users, and yield how often each user is drawn, in blocks ``[U, ·]``.

    The next block is drawn in a second thread while the caller uses this one. Blocks are bounded in
    size, which does not change the draws.

    Args:
        n_users: U.
        n_resamples: R.
        generator: draws the users; do not use it elsewhere before the last block.

    Example:
        >>> [block.shape for block in draws(5, 200, np.random.default_rng(0))]
        [(5, 128), (5, 72)]
    """
    size = max(1, min(_TOGETHER, _MOST_WEIGHTS // n_users))

    def draw(n: int) -> Floats:
        drawn = generator.multinomial(n_users, np.full(n_users, 1 / n_users), n)  # [n, U]
        return np.ascontiguousarray(drawn.T, dtype=np.float64)

    blocks = [min(size, n_resamples - first) for first in range(0, n_resamples, size)]
    drawn: Future[Floats] | None = None
    with ThreadPoolExecutor(1) as pool:
        for n in (*blocks, 0):
            ahead = pool.submit(draw, n) if n else None
            if drawn:
                yield drawn.result()
            drawn = ahead


def difference(scores: Resampled, pairs: Mapping[int, tuple[str, str]]) -> Difference:
    """Difference between two models in the mean over seeds, with interval and p-value.

    Both are made from the R resampled differences by
    :func:`metaselector.evaluate.intervals.interval`. Resamples without the metric, such as AUC of
    rows of a single class, are left out.

    Args:
        scores: one metric of :func:`resample`.
        pairs: by seed, the names of the two models.

    Raises:
        UserError: a model has no predictions.

    Example:
        >>> values = {(0, "fm"): np.array([0.5, 0.4, 0.6]), (0, "lr"): np.array([0.7, 0.6, 0.7])}
        >>> found = difference(Resampled(values, users=40), {0: ("fm", "lr")})
        >>> [round(value, 3) for value in found[:3]]  # no p-value from two resamples
        [-0.2, -0.198, -0.102]
    """
    for seed, pair in pairs.items():
        for name in pair:
            if (seed, name) not in scores.values:
                known = [model for of, model in scores.values if of == seed]
                raise UserError(f"seed {seed}: no model '{name}'; {nearest(name, known)}")
    found = [scores[seed, model] - scores[seed, base] for seed, (model, base) in pairs.items()]
    mean = np.mean(found, axis=0)  # [1 + R]
    return Difference(float(mean[0]), *interval(mean[1:], scores.users))


class Scorer(NamedTuple):
    """A metric of M models under user weights.

    Attributes:
        score: maps weights ``[U, R]`` to ``[M, R]``.
        sizes: how much each user counts, ``[U]``: rows for AUC, logloss and GAUC.
    """

    score: Weighted
    sizes: Floats


def scorers(
    y: Floats,
    p: Floats,
    codes: Ints,
    n_users: int,
    metrics: Sequence[str],
    lists: Ints | None = None,
) -> dict[str, Scorer]:
    """Prepare metrics of M models for resampling.

    Args:
        y: 0 or 1, ``[N]``.
        p: probabilities ``[M, N]``.
        codes: user of each row, ``[N]``, from 0 to U - 1.
        n_users: U.
        metrics: of :data:`METRICS` and, with lists, of
            :data:`metaselector.evaluate.lists.METRICS`.
        lists: the list of each row, ``[N]``, if rows belong to lists.

    Raises:
        UserError: a label or prediction is invalid, or lengths differ.

    Example:
        >>> y, p = np.array([1.0, 0.0, 1.0]), np.array([[0.9, 0.2, 0.4]])
        >>> found = scorers(y, p, np.array([0, 0, 1]), n_users=2, metrics=["logloss"])
        >>> found["logloss"].score(np.ones((2, 1))).round(3)
        array([[0.415]])
    """
    for of_model in p:
        y, _ = checked_rows(y, of_model, codes)
    found = {}
    rows = np.bincount(codes, minlength=n_users).astype(np.float64)
    if "auc" in metrics:
        of_auc = weighted_auc if n_users <= EXACT_USERS else linear_auc
        found["auc"] = Scorer(of_auc(y, p, codes, n_users), rows)
    if "logloss" in metrics:
        losses = (row_logloss(y, of_model) for of_model in p)
        sums = [np.bincount(codes, weights=each, minlength=n_users) for each in losses]
        found["logloss"] = Scorer(weighted_mean(np.stack(sums), rows), rows)
    wanted = [metric for metric in metrics if metric in RANKINGS]
    if wanted:
        ranked = [user_rankings(y, of_model, codes, n_users) for of_model in p]
        for metric in wanted:
            values, sizes = zip(*(each.weighted(metric) for each in ranked), strict=True)
            # Sizes follow from the labels, so they are the same for all models.
            found[metric] = Scorer(weighted_mean(np.stack(values) * sizes[0], sizes[0]), sizes[0])
    within = [metric for metric in metrics if metric in WITHIN_LISTS]
    if lists is not None and within:
        of_lists = [list_rankings(y, of_model, codes, n_users, lists) for of_model in p]
        for metric in within:
            counts = of_lists[0].counts
            means = np.stack([getattr(each, metric) for each in of_lists])
            found[metric] = Scorer(weighted_mean(means * counts, counts), counts)
    return found


def metrics_of(predictions: Predictions) -> tuple[str, ...]:
    """Metrics with intervals that a long table has: those within lists need lists.

    Example:
        >>> import pandas as pd
        >>> metrics_of(pd.DataFrame({"seed": [0]}))
        ('auc', 'logloss', 'gauc', 'ndcg_10', 'mrr')
    """
    return (*METRICS, *WITHIN_LISTS) if has_lists(predictions) else METRICS
