"""Profiles of raw data, beside pandas' answers."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Negatives,
    Task,
    nothing_known,
)
from metaselector.data.profile.describe import describe
from metaselector.data.profile.figures import FeatureProfile, Profile
from metaselector.data.profile.row_log import RowLog
from metaselector.errors import DataError

DAY = 86_400
START = 978_307_200  # 2001-01-01
NOW = START + 1000 * DAY
FEATURES = (
    Feature("device"),
    Feature("tags", "multivalued", separator=";"),
    Feature("price", "numeric"),
)
Columns = dict[str, Sequence[Any]]


def table_of(
    columns: Columns,
    features: Sequence[Feature] = (),
    tasks: Sequence[Task] = (Task("rating"),),
    cuts: Sequence[int] = (),
    encode: bool = False,
    **more: Any,
) -> InteractionTable:
    """A table of `columns` cut into blocks at `cuts`, its words perhaps dictionary-encoded.

    Columns that are not given: every user has the items i0, i1, … at a day's distance, and labels
    alternate.
    """
    n = len(columns["user"])
    rank = pd.Series(columns["user"]).groupby(list(columns["user"])).cumcount().to_numpy()
    filled: Columns = {
        "item": [f"i{r}" for r in rank],
        "timestamp": START + DAY * rank,
        **{task.name: 5.0 * (rank % 2) for task in tasks},
        **columns,
    }
    edges = [0, *sorted(min(cut, n) for cut in cuts), n]

    def words(values: Sequence[Any]) -> pa.Array:
        array = pa.array(list(values), pa.string(), from_pandas=True)
        return array.dictionary_encode() if encode else array

    def read() -> Iterator[Interactions]:
        for start, stop in pairwise(edges):
            part = {name: values[start:stop] for name, values in filled.items()}
            labels = [np.asarray(part[task.name], dtype=np.float64) for task in tasks]
            yield Interactions(
                words(part["user"]),
                words(part["item"]),
                np.stack(labels, axis=1),
                np.asarray(part["timestamp"], dtype=np.int64),
                np.arange(start + 1, stop + 1),
                {
                    feature.name: pa.array(np.asarray(part[feature.name], dtype=np.float64))
                    if feature.kind == "numeric"
                    else words(part[feature.name])
                    for feature in features
                },
            )

    known: dict[str, Any] = {
        "users": nothing_known("user"),
        "describe_items": lambda items: nothing_known("item"),
    }
    return InteractionTable(
        "tiny",
        Path("tiny.csv"),
        read,
        tasks=tuple(tasks),
        features=tuple(features),
        **(known | more),
    )


def profile_of(columns: Columns, threshold: float = 4.0, **more: Any) -> Profile:
    return describe(table_of(columns, **more), threshold, now=NOW)


def feature(profile: Profile, name: str) -> FeatureProfile:
    (found,) = (found for found in profile.features if found.name == name)
    return found


# Beside pandas


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pd.DataFrame, list[int]]:
    """Rows, and where they are cut into blocks."""
    word = st.sampled_from(["", "a", "b", "c"])
    times = st.one_of(st.integers(0, 3), st.sampled_from([-(2**62), 2**62]))
    row = st.tuples(
        st.sampled_from(["u0", "u1", "u2"]),
        st.sampled_from(["i0", "i1", "i2"]),
        times if draw(st.booleans()) else st.integers(0, 2),
        st.sampled_from([np.nan, 1.0, 4.0, 5.0]),
        st.sampled_from([np.nan, 0.0, 1.0]),
        st.one_of(word, st.none()),
        st.one_of(st.lists(word, max_size=3).map(";".join), st.none()),
        st.one_of(st.floats(-100, 100), st.just(np.nan)),
    )
    rows = draw(st.lists(row, min_size=1, max_size=15))
    names = ["user", "item", "timestamp", "rating", "click", "device", "tags", "price"]
    frame = pd.DataFrame(rows, columns=names).astype({"rating": float, "price": float})
    return frame, draw(st.lists(st.integers(0, len(rows)), max_size=4))


@given(world=worlds(), encode=st.booleans())
def test_equals_pandas(world: tuple[pd.DataFrame, list[int]], encode: bool) -> None:
    frame, cuts = world
    tasks = (Task("rating"), Task("click", threshold=1.0))
    columns = {str(name): list(values) for name, values in frame.items()}
    columns |= {name: frame[name].to_numpy() for name in ("timestamp", "rating", "click", "price")}
    # The times are any, and the calendar of pandas ends sooner than that of numpy.
    profile = describe(table_of(columns, FEATURES, tasks, cuts, encode), 4.0, now=2)

    n, by_user = len(frame), frame.groupby("user")
    assert (profile.rows, profile.users, profile.items) == (
        n,
        frame["user"].nunique(),
        frame["item"].nunique(),
    )
    pairs = len(frame[["user", "item"]].drop_duplicates())
    assert profile.pairs == pairs
    assert profile.density == pairs / (profile.users * profile.items)
    assert profile.repeated_rows == frame.duplicated(["user", "item", "timestamp"]).sum()
    assert profile.rows_before_1995 == (frame["timestamp"] < 788_918_400).sum()
    assert profile.rows_in_future == (frame["timestamp"] > 2).sum()
    for spread, key in ((profile.rows_per_user, "user"), (profile.rows_per_item, "item")):
        expected = frame[key].value_counts().describe()
        quartiles = expected[["min", "25%", "50%", "75%", "max", "mean"]]
        assert list(asdict(spread).values()) == pytest.approx(quartiles.tolist())
    sizes = by_user.size()
    assert profile.single_row_users == (sizes == 1).sum()
    assert profile.short_users == (sizes < 10).sum()
    most = by_user["timestamp"].agg(lambda times: times.value_counts().max())
    assert profile.users_at_one_time == ((most > 1) & (most > sizes / 2)).sum()

    for task, found in zip(tasks, profile.tasks, strict=True):
        seen = frame.dropna(subset=task.name)
        positive = seen[task.name] >= (4.0 if task.threshold is None else task.threshold)
        assert found.observed == len(seen)
        assert found.positives == positive.sum()
        assert found.share_observed == len(seen) / n
        assert found.users_of_one_class == (positive.groupby(seen["user"]).nunique() == 1).sum()
        if len(seen):
            assert found.rate == positive.mean()
            assert (found.lowest, found.highest) == (seen[task.name].min(), seen[task.name].max())
        else:
            assert (found.rate, found.lowest, found.highest) == (None, None, None)

    device = frame["device"].replace("", None)
    _equals_words(feature(profile, "device"), device, device)
    tags = frame["tags"].fillna("").str.split(";").explode().replace("", None)
    _equals_words(feature(profile, "tags"), tags, tags.groupby(level=0).first())
    price, prices = feature(profile, "price"), frame["price"]
    assert (price.missing, price.distinct) == (prices.isna().sum(), prices.nunique())
    if price.numbers is None:
        assert prices.isna().all()
    else:
        assert price.numbers.mean == pytest.approx(prices.mean(), abs=1e-9)
        assert price.numbers.std == pytest.approx(prices.std(ddof=0), abs=1e-9)
        assert (price.numbers.minimum, price.numbers.maximum) == (prices.min(), prices.max())


def _equals_words(found: FeatureProfile, words: pd.Series, entries: pd.Series) -> None:
    counts = words.value_counts()
    assert found.entries == len(entries)
    assert found.missing == entries.isna().sum()
    assert found.share_missing == entries.isna().mean()
    assert found.distinct == len(counts)
    assert dict(found.frequent) == counts.to_dict()
    assert [count for _, count in found.frequent] == sorted(counts, reverse=True)


codes = st.integers(0, 3)


@given(rows=st.lists(st.tuples(codes, codes, codes), min_size=1), part_rows=st.integers(1, 5))
def test_parts_make_no_difference(rows: list[tuple[int, int, int]], part_rows: int) -> None:
    user, item, when = np.array(rows).T
    users, user = np.unique(user, return_inverse=True)
    log = RowLog()
    for part in np.array_split(np.arange(len(rows)), 3):
        log.add(user[part].astype(np.int32), item[part].astype(np.int32), when[part])
    per_user = np.bincount(user, minlength=len(users))
    expected = log.sharing(per_user, 4)
    assert expected.pairs == len({row[:2] for row in rows})
    assert expected.repeats == len(rows) - len(set(rows))
    assert log.sharing(per_user, 4, part_rows) == expected


# What a profile holds


def test_side_tables() -> None:
    users = pd.DataFrame(
        {"age": ["30", "", "50"], "income": [1.0, np.nan, 5.0]},
        index=pd.Index(["ann", "bob", "never seen"], dtype="str", name="user"),
    )
    asked: list[str] = []

    def describe_items(items: Any) -> pd.DataFrame:
        asked.extend(items)
        genres = pd.Series([("War", "Drama"), (), ("Drama",)], dtype=object)
        return pd.DataFrame({"genres": genres.to_numpy()}, index=["i0", "i1", "other"])

    profile = profile_of(
        {"user": ["ann", "bob", "ann", "cat", "ann"]},
        users=users,
        describe_items=describe_items,
        user_features=(Feature("age"), Feature("income", "numeric")),
        item_features=(Feature("genres", "multivalued"),),
        repairs=["one was mended"],
    )
    assert asked == ["i0", "i1", "i2"]
    assert (profile.users_unknown, profile.items_unknown) == (1, 1)
    age, income, genres = profile.features
    assert (age.side, age.entries, age.missing, age.frequent) == ("user", 3, 2, (("30", 1),))
    assert (income.kind, income.missing, income.distinct) == ("numeric", 2, 1)
    assert (genres.side, genres.entries, genres.missing) == ("item", 3, 2)
    assert genres.frequent == (("War", 1), ("Drama", 1))
    assert profile.repairs == ("one was mended",)


def test_without_features_nobody_is_missed() -> None:
    profile = profile_of({"user": ["ann", "bob"]})
    assert (profile.users_unknown, profile.items_unknown) == (None, None)


def test_the_most_frequent_words_come_first() -> None:
    words = ["a", "b", "c", "d", "e", "f", "b", "g", "g", "g"]
    profile = profile_of({"user": ["ann"] * 10, "device": words}, features=[Feature("device")])
    (found,) = profile.features
    assert found.frequent == (("g", 3), ("b", 2), ("a", 1), ("c", 1), ("d", 1))


def test_many_numbers_are_not_counted() -> None:
    values = np.arange(101.0)
    profile = profile_of({"user": ["ann"] * 101, "price": values}, features=FEATURES[2:])
    (found,) = profile.features
    assert found.distinct is None
    assert found.numbers is not None
    assert not found.numbers.whole


def test_infinite_numbers_are_missing() -> None:
    price = [np.inf, 1.0, -np.inf]
    (found,) = profile_of({"user": ["ann"] * 3, "price": price}, features=FEATURES[2:]).features
    assert (found.missing, found.distinct) == (2, 1)


def test_times_are_dates() -> None:
    profile = profile_of({"user": ["ann"] * 3})
    assert profile.first_time == "2001-01-01T00:00:00Z"
    assert profile.last_time == "2001-01-03T00:00:00Z"


def test_no_rows() -> None:
    with pytest.raises(DataError, match=r"tiny\.csv: the file holds no interactions"):
        profile_of({"user": []}, cuts=[0, 0])


def test_a_profile_is_json() -> None:
    columns: Columns = {
        "user": ["ann", "bob"],
        "device": ["a", None],
        "tags": [None, ""],
        "price": [np.nan, np.nan],
        "rating": [np.nan, np.nan],
    }
    found = json.loads(json.dumps(asdict(profile_of(columns, features=FEATURES)), allow_nan=False))
    assert found["features"][0]["frequent"] == [["a", 1]]


# Warnings: a world without any, and for each what brings it about

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
    times = START + DAY * np.arange(30)
    times[:5] = START
    assert warnings_of({"timestamp": times}) == []  # a half is not more than a half
    times[:6] = START
    (warning,) = warnings_of({"timestamp": times})
    assert warning.startswith("1 of 3 users have more than half of their rows at one time")


def test_warns_of_impossible_times() -> None:
    times = START + DAY * np.arange(30)
    times[3] = 0
    times[4:6] = NOW + 1
    early, late = warnings_of({"timestamp": times})
    assert early.startswith("1 of 30 rows have a time before 1995 (from 1970-01-01T00:00:00Z on)")
    assert late.startswith("2 of 30 rows have a time in the future (until 2003-09-28T00:00:01Z)")
    assert "seconds since 1970 UTC" in early


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


def test_warns_of_a_label_without_values() -> None:
    (warning,) = warnings_of({"rating": [np.nan] * 30})
    assert warning.startswith("label 'rating' has no value in any row")


def test_a_log_of_positives_is_no_constant_label() -> None:
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
