"""Profile raw data block by block, in two passes if rows have features.

Features are profiled over *train*, as in training, which is only known after the first pass. Memory
grows with the users, items and distinct words, and by 33 bytes per row to find the windows, the
rows that share user, item or time, and how many are later than others. Labels take another byte
each.
"""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError
from metaselector.data.implied_labels import ImpliedLabels
from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import DAY, SECOND, as_text
from metaselector.data.preparation.codes import Codes, Tally
from metaselector.data.preparation.global_dates import check_real, check_times
from metaselector.data.preparation.numbers import QUANTILE_SAMPLE
from metaselector.data.preparation.parts import Parts
from metaselector.data.profile.advice import about_order, advice
from metaselector.data.profile.features import Summary, side_table, summary_of
from metaselector.data.profile.figures import SHORT, LogProfile, Spread
from metaselector.data.profile.future import future
from metaselector.data.profile.labels import LabelSummary, outcomes
from metaselector.data.profile.long_users import long_users
from metaselector.data.profile.row_kinds import DROPPED, TEST, TRAIN, VALID, row_kinds
from metaselector.data.profile.row_log import RowLog
from metaselector.data.profile.users_by_rows import users_by_rows
from metaselector.data.profile.window_counts import window_counts
from metaselector.data.raw.spelling import doubts_of_names
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.windows import DEFAULT_WINDOWS, Windows

_YEAR_1995 = 788_918_400 * SECOND


def describe(
    table: InteractionTable,
    label_threshold: float,
    *,
    windows: Windows = DEFAULT_WINDOWS,
    cold_seed: int | None = None,
    min_user_rows: int = 1,
    min_user_lists: int = 1,
    by_date: bool = False,
    dates: Dates | None = None,
    now: float | None = None,
) -> LogProfile:
    """Profile the rows of `table`, its users and its items.

    Args:
        table: the table, read completely, twice if its rows have features.
        label_threshold: threshold of tasks that set none.
        windows: ends of the windows, in percent of each user's rows, of the users or of all rows.
        cold_seed: random seed of the split of users; None splits rows instead.
        min_user_rows: leave out users with fewer rows, which takes another pass.
        min_user_lists: the same for lists.
        by_date: split the rows of all users at the same dates.
        dates: these dates, if `by_date`; None finds those that end the percentages of all rows.
        now: seconds since 1970 UTC from which times are in the future; by default the clock's.

    Raises:
        DataError: there are no rows, reading the table fails, or rows to be split by date have no
            real times.
    """
    if by_date:
        check_times(table)
    left_out = None
    if min_user_rows > 1 or min_user_lists > 1:
        table, left_out = long_users(table, min_user_rows, min_user_lists)
    latest = (time.time() if now is None else now) * SECOND
    users, items = Codes(), Codes()
    user_rows, item_rows, log = Tally(), Tally(), RowLog(len(table.tasks))
    labels = [LabelSummary(task, label_threshold) for task in table.tasks]
    together = ImpliedLabels(len(labels))
    least = np.array([label.threshold for label in labels])
    first, last, early, late, only_dates = None, None, 0, 0, True
    for block in table.read():
        if not len(block.timestamps):
            continue
        user = users.add(block.user)
        item = np.zeros(len(user), np.int32) if table.tabular else items.add(block.item)
        user_rows.add(user)
        item_rows.add(item)
        log.add(user, item, block.timestamps, block.rows, outcomes(block.labels, least))
        for label, values in zip(labels, block.labels.T, strict=True):
            label.add(user, values)
        together.add(block.labels, least)
        low, high = int(block.timestamps.min()), int(block.timestamps.max())
        first = low if first is None else min(first, low)
        last = high if last is None else max(last, high)
        early += int((block.timestamps < _YEAR_1995).sum())
        late += int((block.timestamps > latest).sum())
        only_dates = only_dates and not (block.timestamps % DAY).any()
    if first is None or last is None:
        raise DataError(table.source, "the file contains no interactions")

    per_user, per_item = user_rows.counts(len(users)), item_rows.counts(len(items))
    rows, sharing = int(per_user.sum()), log.sharing()
    pairs = 0 if table.tabular else sharing.pairs
    distinct = rows - sharing.repeats
    if by_date:
        check_real(table, last)
        kept = row_kinds(log, per_user, Parts(windows, dates=Dates(0, 0, 0))) != DROPPED
        dates = dates or Dates.at(log.times()[kept], windows)
    parts = Parts.of(windows, users.words, cold_seed, dates=dates)
    sampled = table.negatives.per_positive if table.negatives else 0
    kinds = row_kinds(log, per_user, parts, sampled, lists=table.lists)
    times = log.times()
    ahead = future(times[(kinds == TRAIN) | (kinds == VALID)], times[kinds == TEST])
    del times
    counts = window_counts(log, kinds, len(users), len(labels))
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
        tasks=tuple(
            label.profile(rows, len(users), found)
            for label, found in zip(labels, counts.labels, strict=True)
        ),
        rows_per_user=_spread(per_user),
        rows_per_item=_spread(per_item),
        single_row_users=int((per_user == 1).sum()),
        short_users=int((per_user < SHORT).sum()),
        # Rows of a list share their time, as they should.
        users_at_one_time=0 if table.lists else sharing.users_at_one_time,
        users_unknown=users_unknown if table.user_features else None,
        items_unknown=items_unknown if table.item_features else None,
        tabular=table.tabular,
        sampled=sampled,
        features=tuple(summary.profile() for summary in features),
        tied_rows=0 if table.lists else sharing.tied,
        early_rows=sharing.early,
        dates=only_dates,
        same_time_share=None if table.tabular else sharing.tied / distinct,
        same_second_share=None if table.tabular else sharing.same_second / distinct,
        lists=table.lists,
        users_by_rows=users_by_rows(
            counts.before, counts.test, whole_users=cold_seed is not None and not by_date
        ),
        future_share=None if table.tabular or ahead is None else ahead.share,
        future_tests=None if table.tabular or ahead is None else ahead.tests,
        split_dates=None if dates is None else tuple(map(as_text, dates)),
        repairs=tuple(table.repairs),
        left_out=left_out,
        origin=table.origin,
        hints=tuple(about_order(table.tasks, together.found())),
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
        places = block.rows
        if places is None:
            places = np.arange(first, first + len(block.timestamps))
        mine = kinds[places]
        rows = places[mine == TRAIN]
        train, later = pa.array(mine == TRAIN), pa.array(mine > TRAIN)
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
