"""A profile of raw data, read once and block by block.

Memory grows with the users, items and distinct words, and by 16 bytes a row: it takes these to find
the rows that share user, item or time.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import DAY, SECOND, as_text
from metaselector.data.preparation.codes import Codes
from metaselector.data.profile.advice import advice
from metaselector.data.profile.features import side_table, summary_of
from metaselector.data.profile.figures import SHORT, Profile, Spread
from metaselector.data.profile.labels import LabelSummary
from metaselector.data.profile.row_log import RowLog
from metaselector.data.profile.tally import Tally
from metaselector.errors import DataError

_YEAR_1995 = 788_918_400 * SECOND


def describe(
    table: InteractionTable, label_threshold: float, *, now: float | None = None
) -> Profile:
    """Profile the rows of `table`, its users and its items.

    Args:
        table: read once, from its start to its end.
        label_threshold: a value at or above it is a positive, for tasks without one of their own.
        now: seconds since 1970 UTC after which a time is in the future; by default the clock's.

    Raises:
        DataError: there are no rows, or as reading the table.
    """
    latest = (time.time() if now is None else now) * SECOND
    users, items = Codes(), Codes()
    user_rows, item_rows, log = Tally(), Tally(), RowLog()
    labels = [LabelSummary(task, label_threshold) for task in table.tasks]
    features = {feature.name: summary_of(feature, "row") for feature in table.features}
    first, last, early, late, dates = None, None, 0, 0, True
    for block in table.read():
        if not len(block.timestamps):
            continue
        user = users.add(block.user)
        item = np.zeros(len(user), np.int32) if table.tabular else items.add(block.item)
        user_rows.add(user)
        item_rows.add(item)
        log.add(user, item, block.timestamps)
        for label, values in zip(labels, block.labels.T, strict=True):
            label.add(user, values)
        for name, summary in features.items():
            summary.add(block.features[name])
        low, high = int(block.timestamps.min()), int(block.timestamps.max())
        first = low if first is None else min(first, low)
        last = high if last is None else max(last, high)
        early += int((block.timestamps < _YEAR_1995).sum())
        late += int((block.timestamps > latest).sum())
        dates = dates and not (block.timestamps % DAY).any()
    if first is None or last is None:
        raise DataError(table.source, "the file holds no interactions")

    per_user, per_item = user_rows.counts(len(users)), item_rows.counts(len(items))
    rows, sharing = int(per_user.sum()), log.sharing(per_user, max(len(items), 1))
    pairs = 0 if table.tabular else sharing.pairs
    of_users, users_unknown = side_table(table.user_features, "user", table.users, users.words)
    described = table.describe_items(items.words)
    of_items, items_unknown = side_table(table.item_features, "item", described, items.words)
    profile = Profile(
        dataset=table.name,
        source=str(table.source),
        rows=rows,
        users=len(users),
        items=len(items),
        pairs=pairs,
        density=pairs / (len(users) * max(len(items), 1)),
        repeated_rows=sharing.repeats,
        first_time=as_text(first),
        last_time=as_text(last),
        rows_before_1995=early,
        rows_in_future=late,
        tasks=tuple(label.profile(rows, len(users)) for label in labels),
        rows_per_user=_spread(per_user),
        rows_per_item=_spread(per_item),
        single_row_users=int((per_user == 1).sum()),
        short_users=int((per_user < SHORT).sum()),
        users_at_one_time=sharing.users_at_one_time,
        users_unknown=users_unknown if table.user_features else None,
        items_unknown=items_unknown if table.item_features else None,
        tabular=table.tabular,
        sampled=table.negatives.per_positive if table.negatives else 0,
        features=(*(summary.profile() for summary in features.values()), *of_users, *of_items),
        tied_rows=sharing.tied,
        early_rows=sharing.early,
        dates=dates,
        repairs=tuple(table.repairs),
    )
    return replace(profile, warnings=tuple(advice(table, profile)))


def _spread(counts: NDArray[np.int64]) -> Spread:
    if not len(counts):
        return Spread(0, 0, 0, 0, 0, 0)
    low, lower, median, upper, high = np.quantile(counts, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return Spread(low, lower, median, upper, high, float(counts.mean()))
