"""Improvement of combinations over the best single model, by facts about rows and users."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from scipy.stats import bootstrap

from metaselector.common.errors import UserError
from metaselector.data.interactions import Floats
from metaselector.evaluate.alignment import Predictions, by_seed, compact, models_of
from metaselector.evaluate.analysis.bins import quantile_bins
from metaselector.evaluate.analysis.row_facts import FACTS, USER_FACTS
from metaselector.evaluate.intervals import LEVEL, effective_users, expanded
from metaselector.evaluate.losses import row_logloss
from metaselector.evaluate.metrics import logloss

BINS = 5
_AT_ONCE = 2**24  # resampled numbers, 128 MiB


def best_on_valid(valid: Predictions) -> dict[int, str]:
    """By seed, the base model with the lowest logloss on *valid*.

    Args:
        valid: the long table of the base models on *valid*.
    """
    return {
        seed: min(aligned.p, key=lambda model: logloss(aligned.y, aligned.p[model]))
        for seed, aligned in by_seed(valid)
    }


def improvements(
    predictions: Predictions, best_single: Mapping[int, str], models: Collection[str]
) -> pd.DataFrame:
    """Logloss of the best single model minus that of each of `models`, for each test row.

    Args:
        predictions: the long table, any number of seeds, one task.
        best_single: by seed.
        models: models without predictions are left out.

    Returns:
        Indexed by ``row`` and ``user``; one column per model, averaged over seeds, in nats.
    """
    table = compact(predictions)
    present = [model for model in models_of(table) if model in models]
    parts = []
    for seed, best in best_single.items():
        of = table.seeds[seed]
        baseline = row_logloss(of.y, of.of(best))
        columns = {
            model: baseline - row_logloss(of.y, of.p[model]) if model in of.p else math.nan
            for model in present
        }
        index = pd.MultiIndex.from_arrays([of.known_rows, of.users], names=["row", "user"])
        parts.append(pd.DataFrame(columns, index=index))
    if len(parts) == 1:
        return parts[0]
    return pd.concat(parts).groupby(level=["row", "user"]).mean()


def breakdown(
    improved: pd.DataFrame,
    facts: pd.DataFrame,
    resamples: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """Mean improvement by quantile bins of every fact, with 95 % intervals over users.

    User facts are binned over users, row facts over rows. Within a bin, users are resampled with
    all their rows after averaging over seeds, so intervals reflect which users were sampled, not
    seed noise.

    Args:
        improved: result of :func:`improvements`.
        facts: result of :func:`~metaselector.evaluate.analysis.row_facts.row_facts` for the same
            rows.
        resamples: number of resamples; use 1000 or more for published intervals.
        generator: draws the users.

    Returns:
        ``fact, bin, from, to, model, users, rows, improvement, low, high``; `from` and `to` are the
        lowest and highest value of the fact in the bin. Rows with an unknown fact are left out; the
        interval is nan for a bin with a single user.

    Raises:
        UserError: `facts` and `improved` have different rows.
    """
    table = improved.reset_index().merge(facts, on=["row", "user"], validate="one_to_one")
    if not len(table) == len(improved) == len(facts):
        raise UserError(
            f"predictions have {len(improved)} rows, and the test window of the prepared data has "
            f"{len(facts)}, of which {len(table)} match; run `metaselector evaluate` again"
        )
    records = []
    for fact in FACTS:
        known = table[table[fact].notna()]
        if known.empty:
            continue
        values = known.drop_duplicates("user") if fact in USER_FACTS else known
        bins = pd.Series(quantile_bins(values[fact], BINS), index=values[fact])
        bin_of = bins[~bins.index.duplicated()]  # equal values share a bin
        for number, rows in known.groupby(known[fact].map(bin_of)):
            about = (fact, number, rows[fact].min(), rows[fact].max())
            by_user = rows.groupby("user")
            sizes = by_user.size().to_numpy().astype(np.float64)
            for model in improved.columns:
                sums = by_user[model].sum().to_numpy(np.float64)
                interval = _interval(sums, sizes, resamples, generator)
                mean = sums.sum() / sizes.sum()
                records.append((*about, model, len(sizes), len(rows), mean, *interval))
    columns = ["fact", "bin", "from", "to", "model", "users", "rows", "improvement", "low", "high"]
    return pd.DataFrame(records, columns=columns)


def _interval(
    sums: Floats, sizes: Floats, resamples: int, generator: np.random.Generator
) -> tuple[float, float]:
    """Interval of the mean over rows, from each user's sum and number of rows."""
    if len(sizes) < 2:
        return math.nan, math.nan
    tail = expanded(0.5 - LEVEL / 200, effective_users(sizes))
    interval = bootstrap(
        (sums, sizes),
        lambda sums, sizes, axis: sums.sum(axis) / sizes.sum(axis),
        paired=True,
        n_resamples=resamples,
        batch=max(1, _AT_ONCE // len(sizes)),
        confidence_level=1 - 2 * tail,
        method="percentile",
        random_state=generator,
    ).confidence_interval
    return float(interval.low), float(interval.high)
