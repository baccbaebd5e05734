"""Profiles of raw data, compared with pandas."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.data.interactions import (
    Feature,
    Negatives,
    Task,
)
from metaselector.data.profile.describe import describe
from metaselector.data.profile.figures import FeatureProfile
from metaselector.data.splitting.windows import Windows, user_places
from tests.data.profile.profiled import (
    FEATURES,
    Columns,
    feature,
    profile_of,
    table_of,
)

# Beside pandas


@st.composite
def worlds(draw: st.DrawFn) -> tuple[pd.DataFrame, list[int]]:
    """Rows, and where they are cut into blocks."""
    word = st.sampled_from(["", "a", "b", "c"])
    times = st.one_of(st.integers(0, 3), st.sampled_from([-(2**42), 2**42]))
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


def train_of(
    frame: pd.DataFrame, percent: int, sampled: int, cold_seed: int | None
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The rows of *train*, and those after it, in the order of the file."""
    frame = frame.drop_duplicates(["user", "item", "timestamp"])
    sizes = frame.groupby("user")["user"].transform("size")
    frame = frame[sizes > 1].sort_values("timestamp", kind="stable")
    rank, sizes = frame.groupby("user").cumcount(), sizes.reindex(frame.index)
    if cold_seed is None:
        inside = rank * (1 + sampled) < sizes * (1 + sampled) * percent // 100
    else:
        places = user_places(frame["user"].tolist(), cold_seed)
        inside = pd.Series(places < percent, index=frame.index)
    return frame[inside].sort_index(), frame[~inside].sort_index()


@settings(deadline=None)
@given(
    world=worlds(),
    encode=st.booleans(),
    percent=st.sampled_from([40, 80, 100]),
    sampled=st.sampled_from([0, 2]),
    cold_seed=st.sampled_from([None, 0]),
)
def test_equals_pandas(
    world: tuple[pd.DataFrame, list[int]],
    encode: bool,
    percent: int,
    sampled: int,
    cold_seed: int | None,
) -> None:
    frame, cuts = world
    tasks = (Task("rating"), Task("click", threshold=1.0))
    columns = {str(name): list(values) for name, values in frame.items()}
    columns |= {name: frame[name].to_numpy() for name in ("timestamp", "rating", "click", "price")}
    # The times are any, and the calendar of pandas ends sooner than that of numpy.
    negatives = Negatives(sampled) if sampled else None
    profile = describe(
        table_of(columns, FEATURES, tasks, cuts, encode, negatives=negatives),
        4.0,
        windows=Windows(percent, percent, 100),
        cold_seed=cold_seed,
        now=2,
    )

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
    once = frame.drop_duplicates(["user", "item", "timestamp"])
    assert profile.tied_rows == once.duplicated(["user", "timestamp"], keep=False).sum()
    by_time = once.rename_axis("row").reset_index().sort_values(["user", "timestamp", "row"])
    assert profile.early_rows == (by_time.groupby("user")["row"].diff() < 0).sum()
    of_user = once.groupby("user")["timestamp"]
    most = of_user.agg(lambda times: times.value_counts().max())
    assert profile.users_at_one_time == ((most > 1) & (most > of_user.size() / 2)).sum()

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

    train, later = train_of(frame, percent, sampled, cold_seed)
    device = [part["device"].replace("", None) for part in (train, later)]
    _equals_words(feature(profile, "device"), device[0], device[0], device[1])
    tags = [
        part["tags"].fillna("").astype(object).str.split(";").explode().replace("", None)
        for part in (train, later)
    ]
    _equals_words(feature(profile, "tags"), tags[0], tags[0].groupby(level=0).first(), tags[1])
    price, prices = feature(profile, "price"), train["price"]
    assert (price.missing, price.distinct) == (prices.isna().sum(), prices.nunique())
    outside = later["price"].dropna()
    outside = outside[~outside.between(prices.min(), prices.max())]
    assert (price.later, price.new) == (later["price"].count(), len(outside))
    if price.numbers is None:
        assert prices.isna().all()
    else:
        assert price.numbers.mean == pytest.approx(prices.mean(), abs=1e-9)
        assert price.numbers.std == pytest.approx(prices.std(ddof=0), abs=1e-9)
        assert (price.numbers.minimum, price.numbers.maximum) == (prices.min(), prices.max())


def _equals_words(
    found: FeatureProfile, words: pd.Series, entries: pd.Series, later: pd.Series
) -> None:
    counts = words.value_counts()
    assert found.entries == len(entries)
    assert found.missing == entries.isna().sum()
    assert found.share_missing == (entries.isna().mean() if len(entries) else 0)
    assert (found.later, found.new) == (later.count(), (~later.dropna().isin(words)).sum())
    assert found.distinct == len(counts)
    assert dict(found.frequent) == counts.to_dict()
    assert [count for _, count in found.frequent] == sorted(counts, reverse=True)


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
        {"user": ["ann", "bob", "ann", "cat", "ann", "bob", "cat"]},
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
    assert found.numbers.whole


def test_infinite_numbers_are_missing() -> None:
    price = [np.inf, 1.0, -np.inf]
    (found,) = profile_of({"user": ["ann"] * 3, "price": price}, features=FEATURES[2:]).features
    assert (found.missing, found.distinct) == (2, 1)


def test_times_are_dates() -> None:
    profile = profile_of({"user": ["ann"] * 3})
    assert profile.first_time == "2001-01-01T00:00:00Z"
    assert profile.last_time == "2001-01-03T00:00:00Z"


def test_no_rows() -> None:
    with pytest.raises(DataError, match=r"tiny\.csv: the file contains no interactions"):
        profile_of({"user": []}, cuts=[0, 0])


def test_a_profile_is_json() -> None:
    columns: Columns = {
        "user": ["ann", "ann"],
        "device": ["a", None],
        "tags": [None, ""],
        "price": [np.nan, np.nan],
        "rating": [np.nan, np.nan],
    }
    found = json.loads(json.dumps(asdict(profile_of(columns, features=FEATURES)), allow_nan=False))
    assert found["features"][0]["frequent"] == [["a", 1]]
