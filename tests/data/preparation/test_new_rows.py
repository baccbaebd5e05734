"""New rows are encoded as in preparation."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import (
    Feature,
    Interactions,
    InteractionTable,
    Task,
    nothing_known,
)
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.new_rows import NewRows, encode_rows
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.splitting.hours import hours_of

HISTORY, CANDIDATES = Path("history"), Path("candidates")


def split(
    data: Path, raw: pd.DataFrame, user: str, column: str
) -> tuple[EncodedDataset, np.ndarray, NewRows]:
    """Encode a user's rows before the test window as history, and those in it as candidates.

    Rows that preparation dropped, as they repeat others, stay in the history only.
    """
    dataset, encoder = EncodedDataset.load(data), FittedEncoder.load(data)
    place = dataset.user_names.index(user)
    first, stop = dataset.user_offsets[place : place + 2]
    cut = first + (stop - first) * 90 // 100
    mine = raw[raw[column] == user]
    candidates = mine[mine.index.isin(dataset.source_rows[cut:stop])]
    keys = list(mine.columns[1:3] if column == "who" else ["item", "timestamp"])
    later = mine.set_index(keys).index.isin(candidates.set_index(keys).index)
    history = mine[~later]
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, history, HISTORY),
        RawRows.of_frame(encoder, candidates, CANDIDATES),
    )
    return dataset, np.arange(first, stop), found


@pytest.mark.parametrize("world", ["films", "shop"])
def test_rows_of_a_known_user_equal_prepared_rows(
    world: str, request: pytest.FixtureRequest
) -> None:
    data, raw = request.getfixturevalue(world)
    column = "user" if world == "films" else "who"
    for user in EncodedDataset.load(data).user_names[:12]:
        dataset, rows, found = split(data, raw, user, column)
        cut = len(rows) * 90 // 100
        for ours, theirs in (
            (found.history, rows[:cut]),
            (np.sort(found.candidates), rows[cut:]),
        ):
            for new, old in zip(found.dataset.batch(ours), dataset.batch(theirs), strict=True):
                assert torch.equal(new, old)
        labels = found.dataset.task_labels[found.history]
        assert np.array_equal(labels, dataset.task_labels[rows[:cut]], equal_nan=True)


def test_known_is_the_same_after_a_round_trip(
    shop: tuple[Path, pd.DataFrame], tmp_path: Path
) -> None:
    encoder = FittedEncoder.load(shop[0])
    encoder.save(tmp_path)
    again = FittedEncoder.load(tmp_path)
    assert (again.schema, again.rows) == (encoder.schema, encoder.rows)
    pd.testing.assert_frame_equal(again.users, encoder.users)
    pd.testing.assert_frame_equal(again.items, encoder.items)
    assert encoder.items["groups"].iloc[0] in ((), ("x", "y"), ("z", "x", "w"), ("y",))


def test_data_of_an_older_version_say_so(films: tuple[Path, pd.DataFrame], tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"sha256\.json.*metaselector data prepare. again"):
        FittedEncoder.load(tmp_path)


def candidates_of(items: list[str], times: Iterable[int]) -> pd.DataFrame:
    return pd.DataFrame({"user": "nobody", "item": items, "timestamp": times})


def test_histories_are_strictly_earlier(films: tuple[Path, pd.DataFrame]) -> None:
    """Whatever order the rows come in."""
    encoder = FittedEncoder.load(films[0])
    history = candidates_of(["i3", "i1", "i2"], [300, 100, 200]).assign(rating=[5, 4, 1])
    asked = candidates_of(["i9"] * 5, [301, 100, 101, 300, 250])
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, history, HISTORY),
        RawRows.of_frame(encoder, asked, CANDIDATES),
    )
    field = next(f for f in encoder.schema.fields if f.name == "history_items")
    start = encoder.schema.first_slot("history_items")
    ids = found.dataset.batch(found.candidates).ids[:, start : start + 2].tolist()
    of = field.encoder()
    assert ids == [[of["i3"], of["i1"]], [0, 0], [of["i1"], 0], [of["i1"], 0], [of["i1"], 0]]


def test_the_new_take_the_unseen_word_and_bring_features(
    films: tuple[Path, pd.DataFrame],
) -> None:
    encoder = FittedEncoder.load(films[0])
    asked = candidates_of(["i0", "new"], [900_000_000] * 2).assign(
        age="23", occupation="sailor", genres=["Comedy", "War"]
    )
    empty = RawRows.of_frame(encoder, asked.iloc[:0], HISTORY)
    dataset, history, rows = encode_rows(
        encoder, empty, RawRows.of_frame(encoder, asked, CANDIDATES)
    )
    assert len(history) == 0
    shown = [{encoder.schema.word(i) for i in ids} for ids in dataset.batch(rows).ids.tolist()]
    for words in shown:
        assert {"user=(unseen)", "age=23", "gender=(unseen)", "occupation=(unseen)"} <= words
    assert {"item=i0", "genres=Comedy"} <= shown[0]
    assert {"item=(unseen)", "genres=War"} <= shown[1]


def test_candidates_are_never_dropped_and_repeats_in_histories_are(
    films: tuple[Path, pd.DataFrame],
) -> None:
    encoder = FittedEncoder.load(films[0])
    twice = candidates_of(["i1", "i1"], [100, 100])
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, twice.assign(rating=[5, 1]), HISTORY),
        RawRows.of_frame(encoder, twice, CANDIDATES),
    )
    assert len(found.history) == 1
    assert len(found.candidates) == 2


def test_episodes_are_of_every_user(films: tuple[Path, pd.DataFrame]) -> None:
    encoder = FittedEncoder.load(films[0])
    rows = pd.concat([candidates_of(["i1", "i2", "i3"], [1, 2, 3]).assign(user=u) for u in "ab"])
    history = rows.assign(rating=4).iloc[:5]
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, history, HISTORY),
        RawRows.of_frame(encoder, rows.iloc[[5, 0, 4]], CANDIDATES),
    )
    episodes = found.episodes(4)
    dataset = found.dataset
    assert [dataset.user_names[user] for user in episodes.users] == ["a", "b"]
    source = np.where(episodes.support < 0, -1, dataset.source_rows[episodes.support])
    assert source.tolist() == [[-1, 0, 1, 2], [-1, -1, 3, 4]]
    source = np.where(episodes.query < 0, -1, dataset.source_rows[episodes.query])
    assert source.tolist() == [[6, -1], [7, 5]]


def test_hours_count_from_the_first_candidate_after_the_history(
    films: tuple[Path, pd.DataFrame],
) -> None:
    """An older candidate does not change what the others are told of the support."""
    encoder = FittedEncoder.load(films[0])
    hour = 3600
    times = {"a": [1, 30, 20, 2], "b": [0, 1], "c": [9, 8]}  # candidates; all have history at 3, 4
    past = [candidates_of(["i1", "i2"], [3 * hour, 4 * hour]).assign(user=u) for u in times]
    asked = [
        candidates_of(["i3"] * len(at), [hour * t for t in at]).assign(user=u)
        for u, at in times.items()
    ]
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, pd.concat(past).assign(rating=4), HISTORY),
        RawRows.of_frame(encoder, pd.concat(asked), CANDIDATES),
    )
    episodes = found.episodes(2)
    assert episodes.since is not None
    assert found.dataset.source_rows[episodes.since].tolist() == [8, 10, 13]
    support, query = hours_of(found.dataset, episodes.support, episodes.query, episodes.since)
    # All of b's candidates are older than their history.
    assert support.tolist() == [[-17, -16], [3, 4], [-5, -4]]
    assert query[0].tolist() == [-19, -18, 0, 10]
    one = episodes.some(np.array([2]))
    assert hours_of(found.dataset, one.support, one.query, one.since)[0].tolist() == [[-5, -4]]


@pytest.mark.parametrize("support_size", [0, 2, 4])
def test_many_candidates_go_to_further_episodes(
    films: tuple[Path, pd.DataFrame], support_size: int
) -> None:
    encoder = FittedEncoder.load(films[0])
    rows = pd.concat([candidates_of(["i1"] * n, range(n)).assign(user=f"u{n}") for n in (1, 5, 3)])
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, rows.iloc[3:].assign(rating=4), HISTORY),
        RawRows.of_frame(encoder, rows, CANDIDATES),
    )
    whole, parts = found.episodes(support_size), found.episodes(support_size, most=2)
    assert parts.query.shape == (6, 2)
    for place, user in enumerate(whole.users):
        mine = parts.users == user
        query = parts.query[mine]
        assert query[query >= 0].tolist() == whole.query[place][whole.query[place] >= 0].tolist()
        assert np.array_equal(parts.support[mine], [whole.support[place]] * mine.sum())
        assert whole.since is not None
        assert parts.since is not None
        assert (parts.since[mine] == whole.since[place]).all()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda f: f.drop(columns="rating"), r"history \(column rating\): there is no such column"),
        (lambda f: f.drop(columns="item"), r"column item\): there is no such column; did you mean"),
        (lambda f: f.assign(rating=["5", "good"]), r"history:2 \(column rating\): .*good.*number"),
        (lambda f: f.assign(rating=[np.nan, 1]), r"history:1 \(column rating\): is empty"),
        (
            lambda f: f.assign(timestamp=[1, 1e12]),
            r"history:2 \(column timestamp\): .*milliseconds",
        ),
        (lambda f: f.assign(item=["a", ""]), r"history:2 \(column item\): is empty"),
        (
            lambda f: f.assign(user=[1.5, 2.5]),
            r"history:1 \(column user\): floating-point numbers cannot be ids, such as 1.5",
        ),
        (
            lambda f: f.assign(item=["a", 3]),
            r"history.*\(column item\): mixed or unsupported types",
        ),
    ],
)
def test_what_is_wrong_is_named(
    films: tuple[Path, pd.DataFrame],
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    rows = candidates_of(["i1", "i2"], [100, 200]).rename(columns={"itemm": "item"})
    history = change(rows.assign(rating=[5, 1], items="x"))
    encoder = FittedEncoder.load(films[0])
    with pytest.raises(DataError, match=message):
        encode_rows(
            encoder,
            RawRows.of_frame(encoder, history, HISTORY),
            RawRows.of_frame(encoder, rows, CANDIDATES),
        )


def test_rows_without_items_and_times(tmp_path: Path) -> None:
    generator = np.random.default_rng(3)
    n = 60
    frame = pd.DataFrame(
        {
            "user": generator.choice(["a", "b"], n),
            "y": generator.integers(2, size=n),
            "size": generator.normal(size=n),
        }
    )

    def rows() -> Iterator[Interactions]:
        yield Interactions(
            pa.array(frame["user"].tolist(), pa.string()),
            pa.nulls(n, pa.string()),
            frame[["y"]].to_numpy(np.float64),
            np.arange(n),
            np.arange(1, n + 1),
            {"size": pa.array(frame["size"].to_numpy())},
        )

    table = InteractionTable(
        "groups", Path("groups.csv"), rows, nothing_known("user"), lambda _: nothing_known("item"),
        tasks=(Task("y", 1.0),), features=(Feature("size", "numeric"),), time_parts=(),
        tabular=True,
    )  # fmt: skip
    encode_to(table, tmp_path)
    dataset, encoder = EncodedDataset.load(tmp_path), FittedEncoder.load(tmp_path)
    mine = frame[frame["user"] == "b"].assign(y=lambda f: f["y"].map({0: "False", 1: "true"}))
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, mine[:-4], HISTORY),
        RawRows.of_frame(encoder, mine[-4:], CANDIDATES),
    )
    place = dataset.user_names.index("b")
    rows_of_b = np.arange(*dataset.user_offsets[place : place + 2])
    ours = np.append(found.history, found.candidates)
    for new, old in zip(found.dataset.batch(ours), dataset.batch(rows_of_b), strict=True):
        assert torch.equal(new, old)
    assert np.array_equal(found.dataset.labels[found.history], dataset.labels[rows_of_b[:-4]])
    numbers = np.array(mine.index)
    part = encode_rows(
        encoder,
        replace(RawRows.of_frame(encoder, mine[:-4], HISTORY), numbers=numbers[:-4]),
        replace(RawRows.of_frame(encoder, mine[-4:], CANDIDATES), numbers=numbers[-4:]),
    )
    assert np.array_equal(part.dataset.timestamps, dataset.timestamps[rows_of_b])
