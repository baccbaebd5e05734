"""Lists after preparation: histories, positions at prediction, files, and new rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.common.errors import DataError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode, encode_to
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.new_rows import encode_rows
from metaselector.data.preparation.parts import Settings
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.splitting.episodes import load_episodes, window_episodes
from metaselector.data.splitting.windows import Windows

from .own.shown import SCHEMA, write_shown

UNKNOWN = SCHEMA.replace("{name: position}", "{at_prediction: unknown}")
SETTINGS = Settings(windows=Windows(40, 60, 80))


def lines(users: int = 4, lists: int = 6, chosen: int = 0) -> list[str]:
    """Lists of 2 to 4 hotels; every third one has the second of the one before it."""
    made, generator = [], np.random.default_rng(0)
    for user in range(users):
        for place in range(lists):
            shown = generator.permutation(12)[: 2 + place % 3]
            second = 1_000_000_000 + 10 * (place - (place % 3 == 2))
            names = "|".join(f"h{hotel}" for hotel in shown)
            prices = "|".join(str(10 * hotel + 5) for hotel in shown)
            click = f"h{shown[(user + place + chosen) % len(shown)]}"
            made.append(f"u{user},clickout,{second},Rome,{names},{prices},{click}")
    return made


def dataset_of(folder: Path, text: list[str], schema: str = SCHEMA) -> EncodedDataset:
    return encode(read_log(write_shown(folder, tuple(text), schema)), SETTINGS)


def test_lists_are_prepared(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, lines())
    offsets = dataset.list_offsets
    assert offsets is not None
    assert dataset.schema.lists
    assert np.diff(offsets).tolist() == [2, 3, 4] * 8
    assert np.add.reduceat(dataset.labels, offsets[:-1]).tolist() == [1.0] * 24
    assert np.isin(dataset.user_offsets, offsets).all()


def test_no_feature_depends_on_labels_of_the_own_list_or_second(tmp_path: Path) -> None:
    text, flipped = lines(), lines(chosen=1)
    before = dataset_of(tmp_path, text)
    offsets = before.list_offsets
    assert offsets is not None
    for place in range(len(text)):
        changed = [*text[:place], flipped[place], *text[place + 1 :]]
        path = write_shown(tmp_path, tuple(changed))
        after = encode(read_log(path), SETTINGS, before.schema)  # vocabularies stay the same
        mine = np.arange(offsets[place], offsets[place + 1])
        assert (after.labels[mine] != before.labels[mine]).any()
        user = after.users[mine[0]]
        untouched = (after.users != user) | (after.timestamps <= after.timestamps[mine[0]])
        for new, old in zip(
            after.batch(np.flatnonzero(untouched)),
            before.batch(np.flatnonzero(untouched)),
            strict=True,
        ):
            assert torch.equal(new, old)


def test_positions_are_unknown_in_rows_to_predict(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, lines(), UNKNOWN)
    field = next(field for field in dataset.schema.fields if field.name == "position")
    slot = dataset.schema.first_slot("position")
    episodes = load_episodes(dataset, window_episodes(dataset, (80, 100), 9))
    present = episodes.query.mask == 1
    assert (episodes.query.batch.ids[present][:, slot] == field.first_id).all()
    support = episodes.support.batch.ids[episodes.support.mask == 1][:, slot]
    assert (support != field.first_id).all()
    others = [s for s in range(dataset.schema.num_slots) if s != slot]
    rows = np.arange(len(dataset))
    known, predicted = dataset.batch(rows), dataset.as_predicted.batch(rows)
    assert (known.ids[:, others] == predicted.ids[:, others]).all()
    assert (known.ids[:, slot] != predicted.ids[:, slot]).all()


def test_known_positions_are_never_hidden(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, lines())
    assert dataset.as_predicted is dataset
    assert dataset.schema.unknown_at_prediction is None


def test_round_trip(tmp_path: Path) -> None:
    dataset = dataset_of(tmp_path, lines(), UNKNOWN)
    dataset.save(tmp_path / "saved")
    found = EncodedDataset.load(tmp_path / "saved")
    assert dataset.list_offsets is not None
    assert found.list_offsets is not None
    assert found.list_offsets.tolist() == dataset.list_offsets.tolist()
    assert found.schema.unknown_at_prediction == ("position",)
    assert found.digest() == dataset.digest()
    other = replace(dataset, list_offsets=np.delete(dataset.list_offsets, 1), sha256="")
    assert other.digest() != dataset.digest()


@pytest.mark.parametrize(
    ("offsets", "message"),
    [
        ([0, 5, 9], "does not ascend|do not ascend from 0 to"),
        ([0, 20, 72], "contains a list of several users"),
        ([], "is empty|does not match"),
    ],
)
def test_wrong_list_offsets_are_errors(tmp_path: Path, offsets: list[int], message: str) -> None:
    dataset = dataset_of(tmp_path, lines())
    assert len(dataset) == 72
    replace(dataset, list_offsets=np.array(offsets, dtype=np.int64)).save(tmp_path / "wrong")
    with pytest.raises(DataError, match=message):
        EncodedDataset.load(tmp_path / "wrong")


def test_too_few_lists_are_an_error(tmp_path: Path) -> None:
    path = write_shown(tmp_path, tuple(lines(lists=2)))
    with pytest.raises(DataError, match=r"the valid window .* is empty; provide more lists per"):
        encode(read_log(path), SETTINGS)


def test_lists_of_two_times_are_an_error(tmp_path: Path) -> None:
    schema = """
version: 1
interactions: shown.csv
user: user
item: item
time: {column: time, unit: seconds}
labels: {bought: {column: bought}}
list: search
"""
    text = ("ann,s1,1000000000,a,0", "bob,s1,1000000005,a,0", "ann,s1,1000000001,b,1")
    path = write_shown(tmp_path, text, schema, header="user,search,time,item,bought")
    with pytest.raises(DataError, match=r"shown\.csv:4: has another time than line 2"):
        encode(read_log(path), SETTINGS)


def test_min_user_lists_needs_lists(tmp_path: Path) -> None:
    schema = SCHEMA.partition("list:")[0].replace("shown\n", "clicked\n", 1)
    schema = schema.replace("item: shown", "item: clicked").replace(
        "interactions: clicked", "interactions: shown"
    )
    path = write_shown(tmp_path, tuple(lines()), schema + "negatives: {per_positive: 1}\n")
    with pytest.raises(DataError, match=r"has no lists; set data\.min_user_lists=1"):
        encode(read_log(path), replace(SETTINGS, min_user_lists=2))


def test_new_rows(tmp_path: Path) -> None:
    folder = tmp_path / "data"
    folder.mkdir()
    encode_to(read_log(write_shown(tmp_path, tuple(lines()), UNKNOWN)), folder, SETTINGS)
    encoder = FittedEncoder.load(folder)
    second = 1_100_000_000
    history = pd.DataFrame(
        {"user": "new", "item": ["h1", "h2", "h3", "h4", "h5"], "chosen": [1, 0, 0, 1, 0]}
    ).assign(time=[second, second, second, second + 1, second + 1], city="Rome", price=7)
    history["position"] = ["1", "2", "3", "1", "2"]
    asked = pd.DataFrame({"user": "new", "item": ["h6", "h7"], "city": "Rome", "price": 8})
    asked = asked.assign(time=second + 2)  # no position: it is not decided yet
    found = encode_rows(
        encoder,
        RawRows.of_frame(encoder, history, Path("history")),
        RawRows.of_frame(encoder, asked, Path("candidates")),
    )
    supports = {
        size: found.history[found.episodes(size).support[0][found.episodes(size).support[0] >= 0]]
        for size in (1, 2, 4, 5)
    }
    assert [len(support) for support in supports.values()] == [0, 2, 2, 5]
    with pytest.raises(DataError, match="city"):
        encode_rows(
            encoder,
            RawRows.of_frame(encoder, history, Path("history")),
            RawRows.of_frame(encoder, asked.drop(columns="city"), Path("candidates")),
        )
