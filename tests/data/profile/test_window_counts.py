"""Users with enough rows, tied rows, and labels by window: tiny worlds with known answers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from metaselector.data.interactions import Feature, Task
from metaselector.data.microseconds import SECOND
from metaselector.data.profile.describe import describe
from metaselector.data.profile.figures import LogProfile, WindowRates
from metaselector.data.profile.users_by_rows import AtLeast, users_by_rows
from metaselector.data.splitting.windows import Windows, user_places

from .profiled import DAY, NOW, START, Columns, profile_of, table_of

HALVES = Windows(25, 25, 50)
"""*train*, *valid* and *test* have 1, 1 and 2 of four rows."""
LIKED, DISLIKED, UNKNOWN = 5.0, 1.0, np.nan


def counts(profile: LogProfile) -> list[int]:
    return [each.users for each in profile.users_by_rows.at_least]


# Users with enough rows


def test_users_by_rows_before_the_test() -> None:
    """A test of one row in ten: 2, 10 and 50 rows leave 1, 9 and 45 before it."""
    user = ["ann"] * 2 + ["bob"] * 10 + ["cem"] * 50
    profile = profile_of({"user": user}, windows=Windows())
    found = profile.users_by_rows
    assert (found.counted, found.users) == ("before_test", 3)
    assert counts(profile) == [3, 2, 1, 1, 1]
    assert found.at_least[1] == AtLeast(5, 2, pytest.approx(2 / 3))


def test_rows_that_preparation_drops_do_not_count() -> None:
    """Neither the repeats of a row, nor a user with a single row."""
    columns = {
        "user": ["ann"] * 20 + ["bob"],
        "item": ["i0"] * 16 + ["i1", "i2", "i3", "i4", "i0"],
        "timestamp": [START] * 16 + [START + 1, START + 2, START + 3, START + 4, START],
    }
    profile = profile_of(columns, windows=Windows())
    assert profile.users_by_rows.users == 1
    assert counts(profile) == [1, 0, 0, 0, 0]  # 4 of 5 rows are before the test


def test_where_users_are_held_out_all_rows_count() -> None:
    user = ["ann"] * 2 + ["bob"] * 10 + ["cem"] * 50 + ["dan"]
    profile = describe(table_of({"user": user}), 4.0, cold_seed=0, now=NOW)
    found = profile.users_by_rows
    assert (found.counted, found.users) == ("in_all", 3)
    assert counts(profile) == [3, 2, 2, 1, 1]


def test_new_users_after_a_date_have_no_rows_before_it() -> None:
    """The windows end after 8 and 9 of ten days; ann is known by then, bob is new."""
    times = [START + DAY * day for day in [*range(10), 9]]
    columns = {"user": ["ann"] * 10 + ["bob"], "timestamp": times}
    profile = describe(table_of(columns), 4.0, by_date=True, now=NOW)
    assert profile.users_by_rows.users == 2
    assert counts(profile) == [1, 1, 0, 0, 0]


def test_without_test_rows_there_is_no_share() -> None:
    nothing = np.zeros(2, dtype=np.int64)
    found = users_by_rows(nothing + 7, nothing, whole_users=False)
    assert found.users == 0
    assert found.at_least[0] == AtLeast(1, 0, None)


# Tied rows


def test_tied_rows_are_counted_below_the_threshold_of_the_note() -> None:
    times = [START, START, *range(START + 1, START + 19)]
    profile = profile_of({"user": ["ann"] * 20, "timestamp": times})
    assert (profile.same_time_share, profile.same_second_share) == (0.1, 0.1)
    assert not profile.warnings


def test_times_of_different_users_are_not_tied() -> None:
    profile = profile_of({"user": ["ann", "bob"], "timestamp": [START, START]})
    assert (profile.same_time_share, profile.same_second_share) == (0, 0)


def test_times_finer_than_seconds() -> None:
    """One of four rows has a second for itself, and one pair has one time."""
    seconds = np.array([0, 0.25, 0.25, 1.5])
    table = table_of({"user": ["ann"] * 4})
    (block,) = table.read()
    times = START * SECOND + (seconds * SECOND).astype(np.int64)
    fine = replace(table, read=lambda: iter([block._replace(timestamps=times)]))
    profile = describe(fine, 4.0, now=NOW)
    assert (profile.same_time_share, profile.same_second_share) == (0.5, 0.75)


def test_data_without_times_has_no_ties() -> None:
    columns = {"user": ["a"] * 10, "item": [None] * 10, "timestamp": range(10), "x": ["b"] * 10}
    profile = profile_of(columns, features=(Feature("x"),), tabular=True)
    assert (profile.same_time_share, profile.same_second_share) == (None, None)


# Labels by window


def test_rates_of_the_windows() -> None:
    """Both users turn: all of *train* is liked, and nothing of *test*."""
    rating = [LIKED, DISLIKED, DISLIKED, DISLIKED, LIKED, LIKED, DISLIKED, DISLIKED]
    columns = {"user": ["ann"] * 4 + ["bob"] * 4, "rating": rating}
    (task,) = profile_of(columns, windows=HALVES).tasks
    assert task.window_rates == WindowRates(1.0, 0.5, 0.0)
    # Squared changes of 1/4 and 1, of which ann's two rows before the test explain 1/4 by chance.
    assert task.drift == pytest.approx(np.sqrt((0.25 - 0.25 + 1) / 2))


def test_users_who_never_agree_differ_and_do_not_change() -> None:
    columns = {"user": ["ann"] * 4 + ["bob"] * 4, "rating": [LIKED] * 4 + [DISLIKED] * 4}
    (task,) = profile_of(columns, windows=HALVES).tasks
    assert task.window_rates == WindowRates(0.5, 0.5, 0.5)
    assert (task.spread, task.drift) == (0.5, 0.0)


def test_every_task_has_its_own_figures() -> None:
    """Of *click*, two of bob's rows are not observed, which leaves one before the test."""
    columns = {
        "user": ["ann"] * 4 + ["bob"] * 4,
        "rating": [LIKED] * 8,
        "click": [1, 1, 1, 1, UNKNOWN, 0, UNKNOWN, 0],
    }
    tasks = (Task("rating"), Task("click", threshold=1.0))
    rating, click = profile_of(columns, windows=HALVES, tasks=tasks).tasks
    assert (rating.window_rates, rating.spread) == (WindowRates(1.0, 1.0, 1.0), 0.0)
    assert click.window_rates == WindowRates(1.0, 0.5, pytest.approx(2 / 3))
    assert (click.spread, click.drift) == (0.5, 0.0)


def test_too_few_rows_tell_nothing() -> None:
    columns = {"user": ["ann", "ann"], "rating": [LIKED, UNKNOWN]}
    (task,) = profile_of(columns, windows=HALVES).tasks
    assert task.window_rates == WindowRates(None, 1.0, None)
    assert (task.spread, task.drift) == (None, None)


def test_users_who_are_held_out_have_no_drift() -> None:
    user = [f"u{place}" for place in range(100) for _ in range(4)]
    columns: Columns = {"user": user, "rating": [LIKED, DISLIKED, DISLIKED, DISLIKED] * 100}
    (task,) = describe(table_of(columns), 4.0, cold_seed=0, now=NOW).tasks
    assert task.window_rates == WindowRates(0.25, 0.25, 0.25)
    assert (task.spread, task.drift) == (0.0, None)


@pytest.mark.parametrize("cold_seed", [None, 0])
@pytest.mark.parametrize("cuts", [(), (100, 317)])
def test_equals_pandas(cold_seed: int | None, cuts: tuple[int, ...]) -> None:
    """In a file in any order, with repeated rows and ratings that are missing."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "user": [f"u{user}" for user in rng.integers(0, 30, 500)],
            "item": [f"i{item}" for item in rng.integers(0, 3, 500)],
            "timestamp": START + rng.integers(0, 10, 500),
            "rating": rng.choice([LIKED, DISLIKED, UNKNOWN], 500),
        }
    )
    columns: Columns = {str(name): values.to_numpy() for name, values in frame.items()}
    table = table_of(columns, cuts=cuts)
    profile = describe(table, 4.0, windows=Windows(50, 50, 70), cold_seed=cold_seed, now=NOW)
    (task,) = profile.tasks

    frame = frame.drop_duplicates(["user", "item", "timestamp"])
    frame = frame.sort_values("timestamp", kind="stable")
    rows = frame.groupby("user")["user"].transform("size")
    rank = frame.groupby("user").cumcount()
    if cold_seed is None:
        past = [rank >= rows * percent // 100 for percent in (50, 70)]
    else:
        past = [user_places(frame["user"].tolist(), cold_seed) >= percent for percent in (50, 70)]
    window = past[0].astype(int) + past[1]
    seen, liked = frame["rating"].notna(), frame["rating"] == LIKED
    rates = [liked[seen & (window == place)].mean() for place in range(3)]
    assert task.window_rates == WindowRates(*map(pytest.approx, rates))
    by_user = frame["user"].loc[window < 2 if cold_seed is None else window >= 0].value_counts()
    expected = [int((by_user >= least).sum()) for least in (1, 5, 10, 20, 40)]
    assert counts(profile) == expected
