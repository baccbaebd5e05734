"""Warnings of a profile: none for sound data, and each one when provoked."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.data.interactions import (
    Feature,
    Negatives,
    Task,
)
from metaselector.data.profile.describe import describe
from metaselector.data.splitting.windows import DEFAULT_WINDOWS
from tests.data.profile.profiled import (
    DAY,
    FEATURES,
    NOW,
    START,
    Columns,
    profile_of,
    table_of,
)

CALM: Columns = {"user": [f"u{u}" for u in range(3) for _ in range(10)]}


def warnings_of(columns: Columns, **more: Any) -> list[str]:
    warnings = profile_of(CALM | columns, **more).warnings
    assert all("\n" not in warning for warning in warnings)
    return list(warnings)


def test_nothing_to_warn_of() -> None:
    times = START + DAY * np.arange(30)[::-1]  # not in order of time, which is fine
    device = ["a", "b", ""] * 10
    price = np.arange(30) / 7
    tags = ["x;y", "x", ""] * 10
    columns: Columns = {"timestamp": times, "device": device, "tags": tags, "price": price}
    assert warnings_of(columns, features=FEATURES) == []


def test_warns_of_equal_times() -> None:
    (warning,) = warnings_of({"timestamp": np.full(30, START)})
    assert warning.startswith("all rows have the time 2001-01-01T00:00:00Z: windows and histories")


def test_warns_of_users_at_one_time() -> None:
    users = [f"u{u}" for u in range(4) for _ in range(10)]
    times = START + DAY * np.arange(40) + 1
    times[:5] = START
    assert warnings_of({"user": users, "timestamp": times}) == []  # a half is not more than a half
    times[:6] = START
    (warning,) = warnings_of({"user": users, "timestamp": times})
    assert warning.startswith("1 of 4 users have more than half of their rows at one time")


def test_warns_of_equal_times_of_a_user() -> None:
    times = START + DAY * np.arange(30) + 1
    times[:2], times[10:12], times[20:21] = START, START, START
    assert warnings_of({"timestamp": times}) == []  # 4 of 30, and START is of several users
    times[24:26] = START
    (warning,) = warnings_of({"timestamp": times})
    assert warning.startswith("23.3 % of the rows (7 of 30) share their time with another row of")
    dates = START + DAY * np.arange(30)
    dates[1] = START
    (warning,) = warnings_of({"timestamp": dates})
    assert warning.startswith("6.67 % of the rows (2 of 30) share their time with another row of")
    assert "as all times are dates: these keep the order of the file" in warning


def test_warns_of_impossible_times() -> None:
    times = START + DAY * np.arange(30)
    times[3] = 0
    times[4:6] = NOW + 1
    early, late = warnings_of({"timestamp": times})
    assert early.startswith("1 of 30 rows have a time before 1995 (from 1970-01-01T00:00:00Z on)")
    assert late.startswith("2 of 30 rows have a time in the future (until 2003-09-28T00:00:01Z)")
    assert "check the unit of the times" in early


def test_the_future_starts_now() -> None:
    ahead = table_of({"user": ["ann"], "timestamp": [int(time.time()) + DAY]})
    assert describe(ahead, 4.0).rows_in_future == 1
    assert describe(table_of({"user": ["ann"]}), 4.0).rows_in_future == 0


@pytest.mark.parametrize(("value", "kind"), [(5.0, "positive"), (3.0, "negative")])
def test_warns_of_a_constant_label(value: float, kind: str) -> None:
    (warning,) = warnings_of({"rating": [value] * 30})
    assert warning == (
        f"label 'rating' is {kind} in every row (positive is 4 or more, values are {value:g} to "
        f"{value:g}): choose another data.label_threshold"
    )


@pytest.mark.parametrize(("positives", "share"), [(1, "0.83"), (115, "95.83")])
def test_warns_of_an_extreme_label_rate(positives: int, share: str) -> None:
    columns: Columns = {
        "user": ["ann"] * 120,
        "click": [1.0] * positives + [0.0] * (120 - positives),
    }
    (warning,) = warnings_of(columns, tasks=[Task("click", threshold=1.0)])
    assert warning.startswith(f"label 'click' is positive in {share} % of the rows")
    assert warning.endswith("choose another threshold of the task")


def test_suggests_what_comes_after_what() -> None:
    clicked = np.arange(60) % 2 == 0
    bought = clicked & (np.arange(60) % 3 == 0)
    columns: Columns = {"user": ["ann"] * 60, "clicked": clicked, "bought": bought}
    tasks = [Task("bought", threshold=1.0), Task("clicked", threshold=1.0)]
    (hint,) = profile_of(columns, tasks=tasks).hints
    assert hint == (
        "every positive 'bought' is a positive 'clicked' (10 rows): set `after: clicked` of label "
        "'bought', and list 'clicked' first, so that 'bought' is learned where 'clicked' is "
        "positive"
    )
    known = [Task("clicked", threshold=1.0), Task("bought", threshold=1.0, after="clicked")]
    assert not profile_of(columns, tasks=known).hints


def test_warns_of_a_label_without_values() -> None:
    (warning,) = warnings_of({"rating": [np.nan] * 30})
    assert warning.startswith("label 'rating' has no value in any row")


def test_a_log_of_positives_has_no_constant_label() -> None:
    assert warnings_of({"rating": [5.0] * 30}, negatives=Negatives(per_positive=1)) == []


def test_warns_of_users_with_few_rows() -> None:
    single, short = warnings_of({"user": ["ann"] * 10 + ["bob"] * 9 + ["cat"]})
    assert single.startswith("1 of 3 users have a single row")
    assert single.endswith("data.drop_short_users=true")
    assert short.startswith("2 of 3 users have fewer than 10 rows")


@pytest.mark.parametrize("name", ["device", "tags", "price"])
def test_warns_of_a_missing_feature(name: str) -> None:
    missing = [np.nan] * 30 if name == "price" else [None, "", ""] * 10
    chosen = [feature for feature in FEATURES if feature.name == name]
    (warning,) = warnings_of({name: missing}, features=chosen)
    assert warning.startswith(f"feature '{name}' of rows is missing everywhere")


@pytest.mark.parametrize(("name", "value"), [("device", "a"), ("tags", "a"), ("price", 7.0)])
def test_warns_of_a_constant_feature(name: str, value: Any) -> None:
    chosen = [feature for feature in FEATURES if feature.name == name]
    (warning,) = warnings_of({name: [value] * 30}, features=chosen)
    assert warning.startswith(f"feature '{name}' of rows is constant")
    missing = np.nan if name == "price" else None  # a word missing here and there says something
    others = warnings_of({name: [value] * 29 + [missing]}, features=chosen)
    assert not any("is constant" in warning for warning in others)


def test_features_are_judged_by_the_rows_that_training_sees() -> None:
    """Of each user's ten rows the first eight."""
    train = np.arange(30) % 10 < 8
    columns: Columns = {
        "device": np.where(train, "a", "b").tolist(),
        "tags": np.where(train, "", "x").tolist(),
        "price": np.where(train, 14.62, 14.63),
    }
    device, tags, price = warnings_of(columns, features=FEATURES, windows=DEFAULT_WINDOWS)
    assert device == (
        "feature 'device' of rows is constant in train ('a'); drop the feature; "
        "6 of 6 later words differ and count as unseen"
    )
    assert tags == (
        "feature 'tags' of rows is missing everywhere in train (present in 6 later ones): correct "
        "the column, or drop the feature"
    )
    assert price == (
        "feature 'price' of rows is constant in train (14.62); drop the feature; "
        "6 of 6 later values differ and are set to it"
    )


def test_warns_of_numbers_outside_of_the_range_of_train() -> None:
    price = np.arange(30) % 10 + 0.5
    (warning,) = warnings_of({"price": price}, features=FEATURES[2:], windows=DEFAULT_WINDOWS)
    assert warning == (
        "feature 'price' of rows leaves its range in train (0.5 to 7.5) in 6 of 6 later values; "
        "correct them, use a feature that does not drift, or use buckets"
    )
    price[9] = 1000
    (warning,) = warnings_of({"price": price}, features=FEATURES[2:], windows=DEFAULT_WINDOWS)
    assert "in 6 of 6 later values, 1 of them by more than 3 standard deviations" in warning


def test_warns_of_numbers_that_are_hardly_learned() -> None:
    user, price = ["ann"] * 1000, np.ones(1000)
    price[5:7] = 2.5, 3
    (warning,) = warnings_of({"user": user, "price": price}, features=FEATURES[2:])
    assert warning == (
        "feature 'price' of rows is 1 in 99.8 % of train, too often to learn from other "
        "values; make it categorical, or drop it"
    )
    price = np.arange(1000) / 3000
    price[5] = 1e6
    (warning,) = warnings_of({"user": user, "price": price}, features=FEATURES[2:])
    assert warning.startswith("feature 'price' of rows has an outlier 32 standard deviations from")
    buckets = [Feature("price", "numeric", buckets=3)]
    assert warnings_of({"user": user, "price": price}, features=buckets) == []


def test_warns_of_buckets_that_cut_nothing() -> None:
    price = np.ones(30)
    price[3] = 2
    (warning,) = warnings_of({"price": price}, features=[Feature("price", "numeric", buckets=5)])
    assert warning.startswith("feature 'price' of rows is one bucket: nearly all its values in")


def test_warns_of_ids_as_numbers() -> None:
    price = 1e15 + np.arange(30)
    (warning,) = warnings_of({"price": price}, features=FEATURES[2:])
    assert warning.startswith("feature 'price' of rows has whole numbers from 1e+15 on")


def test_warns_of_as_many_words_as_rows() -> None:
    device = [f"d{i}" for i in range(27)] + ["d0"] * 3
    (warning,) = warnings_of({"device": device}, features=[Feature("device")])
    assert warning.startswith("feature 'device' of rows has 27 words for 30 rows")
    device[26] = "d0"
    assert warnings_of({"device": device}, features=[Feature("device")]) == []


def test_warns_of_numbers_that_may_be_names() -> None:
    price = np.arange(30) % 20.0
    (warning,) = warnings_of({"price": price}, features=FEATURES[2:])
    assert warning.startswith("feature 'price' of rows has only 20 distinct whole numbers")
    assert warnings_of({"price": price / 3}, features=FEATURES[2:]) == []
    assert warnings_of({"price": np.arange(30.0)}, features=FEATURES[2:]) == []
    assert warnings_of({"price": price}, features=[Feature("price", "numeric", buckets=5)]) == []


def test_warns_of_features_of_items() -> None:
    def titles(items: Any) -> pd.DataFrame:
        return pd.DataFrame({"title": [f"film {item}" for item in items]}, index=list(items))

    user = ["ann"] * 25
    (warning,) = warnings_of(
        {"user": user}, item_features=(Feature("title"),), describe_items=titles
    )
    assert warning.startswith("feature 'title' of items has 25 words for 25 items")


def test_only_the_first_label_waits_for_its_negatives() -> None:
    profile = profile_of(
        {"user": ["ann"] * 4 + ["bob"] * 4, "watched": [1.0] * 8, "liked": [5.0] * 8},
        tasks=(Task("watched", 1.0), Task("liked", 4.0, "watched")),
        negatives=Negatives(2),
    )
    assert profile.sampled == 2
    assert not any("'watched'" in warning for warning in profile.warnings)
    assert any("label 'liked' is positive in every row" in w for w in profile.warnings)
