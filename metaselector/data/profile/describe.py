"""Profile raw data block by block, in two passes if rows have features.

Features are profiled over *train*, as in training, which is only known after the first pass. Memory
grows with the users, items and distinct words, and by 17 bytes per row to find *train* and the rows
that share user, item or time.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import DAY, SECOND, as_text
from metaselector.data.preparation.codes import Codes, Tally
from metaselector.data.preparation.numbers import QUANTILE_SAMPLE
from metaselector.data.preparation.parts import Parts
from metaselector.data.profile.advice import advice
from metaselector.data.profile.features import Summary, side_table, summary_of
from metaselector.data.profile.figures import SHORT, LogProfile, Spread
from metaselector.data.profile.labels import LabelSummary
from metaselector.data.profile.long_users import long_users
from metaselector.data.profile.row_log import RowLog
from metaselector.data.profile.train_rows import LATER, TRAIN, train_rows
from metaselector.data.raw.spelling import doubts_of_names
from metaselector.data.splitting.windows import DEFAULT_WINDOWS, Windows

_YEAR_1995 = 788_918_400 * SECOND


def describe(
    table: InteractionTable,
    label_threshold: float,
    *,
    windows: Windows = DEFAULT_WINDOWS,
    cold_seed: int | None = None,
    min_user_rows: int = 1,
    now: float | None = None,
) -> LogProfile:
    """Profile the rows of `table`, its users and its items.

    Args:
        table: the table, read completely, twice if its rows have features.
        label_threshold: threshold of tasks that set none.
        windows: ends of the windows, in percent of each user's rows or of the users.
        cold_seed: random seed of the split of users; None splits each user's rows instead.
        min_user_rows: leave out users with fewer rows, which takes another pass.
        now: seconds since 1970 UTC from which times are in the future; by default the clock's.

    Raises:
        DataError: there are no rows, or reading the table fails.
    """
    left_out = None
    if min_user_rows > 1:
        table, left_out = long_users(table, min_user_rows)
    latest = (time.time() if now is None else now) * SECOND
    users, items = Codes(), Codes()
    user_rows, item_rows, log = Tally(), Tally(), RowLog()
    labels = [LabelSummary(task, label_threshold) for task in table.tasks]
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
        low, high = int(block.timestamps.min()), int(block.timestamps.max())
        first = low if first is None else min(first, low)
        last = high if last is None else max(last, high)
        early += int((block.timestamps < _YEAR_1995).sum())
        late += int((block.timestamps > latest).sum())
        dates = dates and not (block.timestamps % DAY).any()
    if first is None or last is None:
        raise DataError(table.source, "the file contains no interactions")

    per_user, per_item = user_rows.counts(len(users)), item_rows.counts(len(items))
    rows, sharing = int(per_user.sum()), log.sharing(per_user, max(len(items), 1))
    pairs = 0 if table.tabular else sharing.pairs
    parts = Parts.of(windows, users.words, cold_seed)
    sampled = table.negatives.per_positive if table.negatives else 0
    kinds = np.zeros(rows, dtype=np.uint8)
    if table.features or table.user_features or table.item_features:
        kinds = train_rows(log, per_user, parts, sampled)
    user_in, item_in = log.occurring(kinds == TRAIN, len(users), len(items))
    of_users, users_unknown = side_table(
        table.user_features, "user", table.users, users.words, user_in
    )
    described = table.describe_items(items.words)
    of_items, items_unknown = side_table(
        table.item_features, "item", described, items.words, item_in
    )
    features = [*_row_features(table, kinds), *of_users, *of_items]
    profile = LogProfile(
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
        sampled=sampled,
        features=tuple(summary.profile() for summary in features),
        tied_rows=sharing.tied,
        early_rows=sharing.early,
        dates=dates,
        repairs=tuple(table.repairs),
        left_out=left_out,
        origin=table.origin,
        doubtful_names=tuple(
            (table.columns.get(what, what), doubt)
            for what, codes, rows in (("user", users, per_user), ("item", items, per_item))
            for doubt in (doubts_of_names(codes.words, rows, what) if not table.tabular else ())
        ),
    )
    return replace(profile, warnings=tuple(advice(table, profile)))


def _row_features(table: InteractionTable, kinds: NDArray[np.uint8]) -> list[Summary]:
    """Summarize the features of rows, reading the table again."""
    stride = -(-len(kinds) // QUANTILE_SAMPLE)
    summaries = [summary_of(feature, "row", stride) for feature in table.features]
    first = 0
    for block in table.read() if summaries else ():
        mine = kinds[first : first + len(block.timestamps)]
        rows = first + np.flatnonzero(mine == TRAIN)
        train, later = pa.array(mine == TRAIN), pa.array(mine == LATER)
        for feature, summary in zip(table.features, summaries, strict=True):
            column = block.features[feature.name]
            summary.add(column.filter(train), rows)
            summary.add_later(column.filter(later))
        first += len(mine)
    return summaries


def _spread(counts: NDArray[np.int64]) -> Spread:
    if not len(counts):
        return Spread(0, 0, 0, 0, 0, 0)
    low, lower, median, upper, high = np.quantile(counts, [0, 0.25, 0.5, 0.75, 1]).tolist()
    return Spread(low, lower, median, upper, high, float(counts.mean()))
