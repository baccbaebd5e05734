"""Warnings about a profile, one line each, with a remedy."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from metaselector.data.implied_labels import Implied
from metaselector.data.interactions import Feature, InteractionTable, Task
from metaselector.data.profile.figures import (
    SHORT,
    FeatureProfile,
    LogProfile,
    NumberProfile,
    TaskProfile,
)
from metaselector.data.raw.values import shown

HIGH_RATE, LOW_RATE = 0.95, 0.01
"""Rates of positives above and below which a label has little to learn from."""
MANY_WORDS = 0.9
"""Distinct words per entry from which a feature is nearly unique to its entries."""
FEW_NUMBERS = 20
"""Number of distinct whole numbers up to which they may be codes."""
LIKE_IDS = 1e9
"""Whole numbers that are all at least this large may be ids or times."""
ENTRIES_TO_JUDGE = 20
"""Minimum entries for the number of distinct words or numbers to be meaningful."""


def advice(table: InteractionTable, profile: LogProfile) -> Iterator[str]:
    """Yield warnings about `profile`, the profile of `table`."""
    if not profile.tabular:
        yield from _about_times(profile)
    for place, (task, found) in enumerate(zip(table.tasks, profile.tasks, strict=True)):
        if place or not profile.sampled:  # otherwise the negatives are still to be sampled
            yield from _about_label(task, found)
    yield from (f"column {column}: {doubt}" for column, doubt in profile.doubtful_names)
    yield from _about_users(profile)
    features = (*table.features, *table.user_features, *table.item_features)
    for feature, result in zip(features, profile.features, strict=True):
        yield from _about_feature(feature, result)


def about_order(tasks: Sequence[Task], implied: Iterable[Implied]) -> Iterator[str]:
    """Suggest `after` for labels that are positive only where another one is."""
    for later, earlier, positives in implied:
        name, first = tasks[later].name, tasks[earlier].name
        if tasks[later].after is None:
            place = "" if earlier < later else f", and list '{first}' first"
            yield (
                f"every positive '{name}' is a positive '{first}' ({positives:,} rows): set "
                f"`after: {first}` of label '{name}'{place}, so that '{name}' is learned where "
                f"'{first}' is positive"
            )


def _about_times(profile: LogProfile) -> Iterator[str]:
    if profile.first_time == profile.last_time and profile.rows > 1:
        yield (
            f"all rows have the time {profile.first_time}: windows and histories would follow the "
            "order of the file; provide times, or make sure that the file is sorted by time"
        )
    elif ties := list(profile.order.about_ties()):
        yield from ties
    elif profile.users_at_one_time:
        yield (
            f"{profile.users_at_one_time:,} of {profile.users:,} users have more than half of "
            "their rows at one time: these keep the order of the file; provide exact times, or "
            "make sure that the file is sorted by time"
        )
    for count, when in (
        (profile.rows_before_1995, f"before 1995 (from {profile.first_time} on)"),
        (profile.rows_in_future, f"in the future (until {profile.last_time})"),
    ):
        if count:
            yield (
                f"{count:,} of {profile.rows:,} rows have a time {when}: check the unit of the "
                "times, and correct or remove the rows"
            )


def _about_label(task: Task, found: TaskProfile) -> Iterator[str]:
    setting = "data.label_threshold" if task.threshold is None else "threshold of the task"
    choose = f"choose another {setting}"
    if found.rate is None:
        yield f"label '{found.name}' has no value in any row: correct the column, or drop the task"
    elif found.rate in (0, 1):
        kind = "positive" if found.rate else "negative"
        yield (
            f"label '{found.name}' is {kind} in every row (positive is {found.threshold:g} or "
            f"more, values are {found.lowest:g} to {found.highest:g}): {choose}"
        )
    elif not LOW_RATE <= found.rate <= HIGH_RATE:
        yield (
            f"label '{found.name}' is positive in {100 * found.rate:.2f} % of the rows (positive "
            f"is {found.threshold:g} or more): few users will have both classes; {choose}"
        )


def _about_users(profile: LogProfile) -> Iterator[str]:
    if profile.tabular and profile.single_row_users:
        yield (
            f"{profile.single_row_users:,} of {profile.users:,} groups have a single row, which "
            "cannot be split: they are dropped"
        )
    elif profile.single_row_users and profile.split_dates is None:
        yield (
            f"{profile.single_row_users:,} of {profile.users:,} users have a single row, which "
            "cannot be split: remove them, or set data.drop_short_users=true"
        )
    if profile.short_users and profile.split_dates is None:
        yield (
            f"{profile.short_users:,} of {profile.users:,} users have fewer than {SHORT} rows: "
            "at most one row each in valid and test with a 60/80/90 % split, too few for per-user "
            "metrics; provide more of their rows, or leave them out"
        )


def _about_feature(feature: Feature, found: FeatureProfile) -> Iterator[str]:
    name = f"feature '{found.name}' of {found.side}s"
    present = found.entries - found.missing
    enough = present >= ENTRIES_TO_JUDGE
    if not found.entries:
        return  # train has no rows, which other warnings report
    if not present:
        later = f" (present in {found.later:,} later ones)" if found.later else ""
        yield (
            f"{name} is missing everywhere in train{later}: correct the column, or drop the feature"
        )
        return
    joint = " " if found.kind == "numeric" else ": "
    yield from (f"{name}{joint}{doubt}" for doubt in found.doubts)
    if found.numbers is not None:
        if feature.buckets is None and enough:
            yield from _about_whole_numbers(name, found, found.numbers)
    elif found.distinct == 1 and not found.missing and found.entries > 1:
        word = found.frequent[0][0]
        later = f"; {found.new:,} of {found.later:,} later words differ and count as unseen"
        yield (
            f"{name} is constant in train ({shown(word)}); drop the feature"
            f"{later if found.new else ''}"
        )
    elif found.kind == "categorical" and enough and (found.distinct or 0) >= MANY_WORDS * present:
        yield (
            f"{name} has {found.distinct:,} words for {present:,} {found.side}s of train, so few "
            "occur again; drop the feature, or make it coarser"
        )


def _about_whole_numbers(name: str, found: FeatureProfile, numbers: NumberProfile) -> Iterator[str]:
    if not numbers.whole or not numbers.std:
        return
    if found.distinct is not None and found.distinct <= FEW_NUMBERS:
        yield (
            f"{name} has only {found.distinct} distinct whole numbers: if they are codes rather "
            "than amounts, make it categorical"
        )
    elif numbers.minimum >= LIKE_IDS:
        yield (
            f"{name} has whole numbers from {numbers.minimum:.15g} on: if they are ids or codes, "
            "make it categorical; if they are times, use the time elapsed since another event"
        )
