"""Invariants of random tables: nothing is lost, order and windows hold, no future leaks."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import NUMBER
from metaselector.data.interactions import Feature, Interactions, InteractionTable, Task
from metaselector.data.preparation import staging
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting.windows import Windows, boundaries, window_rows

WINDOWS = Windows(early=20, train=50, valid=75)
KINDS = {"device": "categorical", "tags": "multivalued", "price": "numeric"}
ITEMS = pd.DataFrame(
    {
        "genres": pd.Series({"i1": ("a", "b"), "i2": (), "i3": ("c",)}, dtype=object),
        "weight": pd.Series({"i1": 1.0, "i2": np.nan, "i3": 5.0}),
    }
)
Row = tuple[str, str, float, int, str | None, str | None, float]
"""User, item, rating, time, device, tags, price."""


@st.composite
def tables(draw: st.DrawFn) -> list[Row]:
    """Each user has four rows at least, so that no window is empty; shuffled."""
    word = st.one_of(st.none(), st.sampled_from(["", "x", "y", "z"]))
    rows = []
    for user in draw(st.lists(st.sampled_from(["ann", "bob", "cy"]), min_size=1, unique=True)):
        for place in range(draw(st.integers(4, 8))):
            time = draw(st.integers(0, 6))
            # Items differ within a user, so that no row repeats another.
            item = f"i{place}"
            tags = draw(st.one_of(st.none(), st.lists(st.sampled_from("pqr"), max_size=3)))
            price = draw(st.one_of(st.just(float("nan")), st.floats(-10, 10, width=32)))
            rating = draw(st.sampled_from([2.0, 5.0]))
            joined = None if tags is None else "|".join(tags)
            rows.append((user, item, rating, time, draw(word), joined, price))
    return draw(st.permutations(rows))


def table_of(rows: list[Row], block_rows: int = 100) -> InteractionTable:
    def read() -> Any:
        for start in range(0, len(rows), block_rows):
            block = rows[start : start + block_rows]
            user, item, rating, time, device, tags, price = map(list, zip(*block, strict=True))
            yield Interactions(
                pa.array(user),
                pa.array(item).dictionary_encode(),
                np.array(rating)[:, None],
                np.array(time),
                np.arange(start, start + len(block)) + 1,
                {
                    "device": pa.array(device, pa.string()),
                    "tags": pa.array(tags, pa.string()).dictionary_encode(),
                    "price": pa.array(price, pa.float64()),
                },
            )

    return InteractionTable(
        "random",
        Path("random.csv"),
        read,
        pd.DataFrame({"age": {"ann": "24", "cy": ""}}),
        lambda _: ITEMS,
        tasks=(Task("rating"),),
        features=tuple(Feature(name, kind) for name, kind in KINDS.items()),  # type: ignore[arg-type]
        user_features=(Feature("age"),),
        item_features=(
            Feature("genres", "multivalued", profile=True),
            Feature("weight", "numeric"),
        ),
        time_parts=("hour", "day_of_week", "month", "season"),
    )


def same(a: EncodedDataset, b: EncodedDataset) -> bool:
    return a.digest() == b.digest()


def features(dataset: EncodedDataset, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    batch = dataset.batch(rows)
    return batch.ids.numpy(), batch.values.numpy()


@settings(max_examples=60)
@given(tables(), st.integers(1, 9), st.integers(1, 30), st.integers(1, 3))
def test_where_blocks_and_groups_are_cut_changes_nothing(
    rows: list[Row], block_rows: int, rows_at_once: int, users_in_file: int
) -> None:
    whole = encode(table_of(rows), Settings(WINDOWS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(staging, "ROWS_AT_ONCE", rows_at_once)
        patch.setattr(staging, "USERS_IN_FILE", users_in_file)
        pieces = encode(table_of(rows, block_rows), Settings(WINDOWS))
    # Only numbers may differ, by rounding: their mean is joined from pieces.
    for ours, theirs in zip(pieces.schema.fields, whole.schema.fields, strict=True):
        assert ours.center == pytest.approx(theirs.center)
        assert ours.scale == pytest.approx(theirs.scale)
        assert (ours.low, ours.high) == pytest.approx((theirs.low, theirs.high))
        rest = {"center": 0.0, "scale": 1.0, "low": None, "high": None}
        assert ours.model_copy(update=rest) == theirs.model_copy(update=rest)
    every = np.arange(len(rows))
    (ids, values), (other_ids, other_values) = (features(d, every) for d in (pieces, whole))
    assert np.array_equal(ids, other_ids)
    assert values == pytest.approx(other_values, rel=1e-5, abs=1e-5)
    assert np.array_equal(pieces.source_rows, whole.source_rows)


@settings(max_examples=60)
@given(tables())
def test_what_is_encoded_decodes_to_the_raw_values(rows: list[Row]) -> None:
    """Where the value occurs in train; elsewhere it is the unseen word, as it must be."""
    dataset = encode(table_of(rows), Settings(WINDOWS))
    train = dataset.source_rows[window_rows(dataset.user_offsets, 0, WINDOWS.train)]
    batch = dataset.batch(np.arange(len(dataset)))
    schema = dataset.schema
    for position, source in enumerate(dataset.source_rows):
        user, item, rating, time, device, tags, price = rows[source]
        assert dataset.labels[position] == (rating >= 4)
        assert dataset.timestamps[position] == time
        raw = {"user": [user], "item": [item], "device": [device or ""]}
        raw["tags"] = [tag for tag in (tags or "").split("|") if tag]
        for name, expected in raw.items():
            field = next(field for field in schema.fields if field.name == name)
            start = schema.first_slot(name)
            cells = batch.ids[position, start : start + field.slots].tolist()
            found = [schema.word(i).removeprefix(f"{name}=") for i in cells if i]
            column = {"user": 0, "item": 1, "device": 4, "tags": 5}[name]
            words = {w for i in train for w in (rows[i][column] or "").split("|")} - {""}
            known = [word if word in words else "(unseen)" for word in expected]
            assert found == known[: field.slots]
        field = next(field for field in schema.fields if field.name == "price")
        slot = schema.first_slot("price")
        word, value = schema.word(int(batch.ids[position, slot])), batch.values[position, slot]
        prices = np.array([rows[i][-1] for i in train])
        if np.isnan(price) or np.isnan(prices).all():
            assert (word, value) == ("price=(unseen)", 1)
        else:
            assert word == f"price={NUMBER}"
            number = float(value) * field.scale + field.center
            margin = 3 * np.nanstd(prices)
            least, most = np.nanmin(prices) - margin, np.nanmax(prices) + margin
            expected_price = np.clip(price, least, most)
            assert number == pytest.approx(expected_price, rel=1e-5, abs=1e-5 * field.scale)


@settings(max_examples=60)
@given(tables())
def test_windows_partition_the_rows_and_users_keep_their_order(rows: list[Row]) -> None:
    dataset = encode(table_of(rows), Settings(WINDOWS))
    edges = [0, WINDOWS.early, WINDOWS.train, WINDOWS.valid, 100]
    parts = [window_rows(dataset.user_offsets, *pair) for pair in pairwise(edges)]
    assert sorted(np.concatenate(parts).tolist()) == list(range(len(rows)))
    assert sorted(dataset.source_rows.tolist()) == list(range(len(rows)))
    for user, name in enumerate(dataset.user_names):
        mine = slice(*dataset.user_offsets[user : user + 2])
        expected = [i for i, row in enumerate(rows) if row[0] == name]
        assert dataset.source_rows[mine].tolist() == sorted(expected, key=lambda i: (rows[i][3], i))
        # What is in an earlier window is not later.
        in_window = np.concatenate(
            [
                np.full(np.isin(part, np.arange(len(rows))[mine]).sum(), i)
                for i, part in enumerate(parts)
            ]
        )
        assert (np.diff(in_window) >= 0).all()


@settings(max_examples=60)
@given(tables(), st.integers(0, 6), st.data())
def test_no_feature_knows_the_future(rows: list[Row], time: int, data: st.DataObject) -> None:
    """Rows of a time or later get other labels, items, words and numbers."""
    dataset = encode(table_of(rows), Settings(WINDOWS))
    changed = [
        row
        if row[3] < time
        else (
            row[0], row[1] + data.draw(st.sampled_from(["", "0"])),
            data.draw(st.sampled_from([2.0, 5.0])), row[3], "w", "p|q|r", 0.0,
        )
        for row in rows
    ]  # fmt: skip
    other = encode(table_of(changed), Settings(WINDOWS), dataset.schema)
    before = np.flatnonzero(dataset.timestamps < time)
    for ours, theirs in zip(features(dataset, before), features(other, before), strict=True):
        assert np.array_equal(ours, theirs)


@settings(max_examples=60)
@given(tables(), st.data())
def test_nothing_is_fitted_on_rows_after_train(rows: list[Row], data: st.DataObject) -> None:
    dataset = encode(table_of(rows), Settings(WINDOWS))
    offsets = dataset.user_offsets
    after = set(dataset.source_rows[window_rows(offsets, WINDOWS.train, 100)].tolist())
    changed = [
        row
        if i not in after
        else (*row[:2], data.draw(st.sampled_from([2.0, 5.0])), row[3], "w", "p|q|r|s", 1e6)
        for i, row in enumerate(rows)
    ]
    assert encode(table_of(changed), Settings(WINDOWS)).schema == dataset.schema
    assert (boundaries(offsets, WINDOWS.train) > offsets[:-1]).all()
