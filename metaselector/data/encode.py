"""From the interaction table to (id, value) slots.

Fields, if the data has anything of them: user, age, gender, occupation, item, genres, categories,
release year, history items, history genres, history categories, day of week, season. Vocabularies
come from the *train* window only; any other word, and a missing one, takes its field's
out-of-vocabulary id.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.data.dataset import EncodedDataset
from metaselector.data.history import Histories, histories
from metaselector.data.interactions import InteractionTable
from metaselector.data.schema import PADDING_ID, Field, Kind, Schema
from metaselector.data.split import DEFAULT_WINDOWS, Windows, boundaries, window_rows
from metaselector.errors import DataError

WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
SEASONS = ("winter", "spring", "summer", "autumn")  # of the northern hemisphere, by UTC month
HISTORY_LENGTH = 20
USER_COLUMNS = ("age", "gender", "occupation")
ITEM_LISTS = ("genres", "categories")
ITEM_COLUMNS = ("release_year",)
PROFILE_WORDS = 32
"""Most words of a profile, which has a slot for each: the most frequent ones in *train*."""


class _Slots:
    """Collects fields and their columns while handing out id ranges."""

    def __init__(self) -> None:
        self.fields: list[Field] = []
        self.ids: list[NDArray[np.int32]] = []
        self.values: list[NDArray[np.float32]] = []
        self._next_id = PADDING_ID + 1

    def _field(self, name: str, kind: Kind, slots: int, words: Sequence[str]) -> Field:
        field = Field(
            name=name, kind=kind, slots=slots, first_id=self._next_id, vocabulary=tuple(words)
        )
        self._next_id += field.num_ids
        self.fields.append(field)
        return field

    def add_codes(
        self,
        name: str,
        kind: Kind,
        codes: NDArray[np.int64],
        words: Sequence[str],
        train: NDArray[np.bool_],
        known: Sequence[str] | None,
    ) -> None:
        """Add a field of word codes ``[N, slots]`` (-1 is padding), each of n words valued 1/n.

        The vocabulary is `known`, or the words that occur in the `train` rows.
        """
        if known is None:
            used = np.unique(codes[train])
            known = sorted({words[c] for c in used if c >= 0} - {""}, key=_natural)
        field = self._field(name, kind, codes.shape[1], known)
        encoder = field.encoder()
        lookup = np.array(
            [encoder.get(word, field.first_id) for word in words] + [PADDING_ID], dtype=np.int32
        )  # the last entry answers code -1
        present = codes >= 0
        count = np.maximum(present.sum(axis=1, keepdims=True), 1)
        self.ids.append(lookup[codes])
        self.values.append((present / count).astype(np.float32))

    def add_profile(self, name: str, shares: NDArray[np.float64], words: Sequence[str]) -> None:
        """Add a field with one slot a word, its value the word's share; a share of 0 is padding."""
        field = self._field(name, "profile", len(words), words)
        ids = np.arange(field.first_id + 1, field.first_id + 1 + len(words), dtype=np.int32)
        self.ids.append(np.where(shares > 0, ids, PADDING_ID).astype(np.int32))
        self.values.append(shares.astype(np.float32))


def _natural(word: str) -> tuple[int, str]:
    """Sort key that puts 2 before 10."""
    return (len(word) if word.isdigit() else 0, word)


def encode(
    table: InteractionTable,
    windows: Windows = DEFAULT_WINDOWS,
    *,
    label_threshold: float = 4.0,
    history_length: int = HISTORY_LENGTH,
    schema: Schema | None = None,
) -> EncodedDataset:
    """Encode `table`; rows come out sorted by (user, timestamp, original order).

    Args:
        table: what a reader returned.
        windows: the chronological windows, in percent of each user's rows.
        label_threshold: a rating at or above it is a positive label.
        history_length: positives kept in the history field.
        schema: reuse the vocabularies of this schema instead of fitting them on *train*.

    Raises:
        DataError: a user has a single row, or a window is empty.
    """
    rows = table.interactions
    user_codes, user_names = pd.factorize(rows["user"], sort=False)
    order = np.lexsort((np.arange(len(rows)), rows["timestamp"].to_numpy(), user_codes))
    rows = rows.iloc[order]
    user_codes = user_codes[order].astype(np.int64)
    offsets = np.searchsorted(user_codes, np.arange(len(user_names) + 1)).astype(np.int64)
    _check_windows(table, rows, offsets, windows)

    timestamps = rows["timestamp"].to_numpy(np.int64)
    labels = rows["rating"].to_numpy() >= label_threshold
    train = np.zeros(len(rows), dtype=bool)
    train[window_rows(offsets, 0, windows.train)] = True
    past = histories(offsets, timestamps, labels, boundaries(offsets, windows.valid))

    item_codes, item_names = pd.factorize(rows["item"], sort=False)
    items = table.items.reindex(item_names)
    known = {field.name: field.vocabulary for field in schema.fields} if schema else {}
    slots = _Slots()

    def categorical(name: str, codes: NDArray[np.int64], words: Sequence[str]) -> None:
        slots.add_codes(name, "categorical", codes[:, None], words, train, known.get(name))

    categorical("user", user_codes, list(user_names))
    users = table.users.reindex(user_names)
    for column in _known(USER_COLUMNS, users):
        codes, words = pd.factorize(users[column].fillna(""))
        categorical(column, codes[user_codes], list(words))
    categorical("item", item_codes, list(item_names))
    for column in _known(ITEM_LISTS, items):
        lists = _lists(items[column])
        _add_lists(slots, column, lists, item_codes, train, known.get(column), schema)
    for column in _known(ITEM_COLUMNS, items):
        codes, words = pd.factorize(items[column].fillna(""))
        categorical(column, codes[item_codes], list(words))
    latest = past.latest(history_length)
    liked = np.where(latest >= 0, item_codes[latest], -1)
    slots.add_codes(
        "history_items", "sequence", liked, list(item_names), train, known.get("history_items")
    )
    for column in _known(ITEM_LISTS, items):
        name = f"history_{column}"
        chosen = known.get(name) or _profile_words(slots, column, train)
        _add_profile(slots, name, _lists(items[column]), item_codes, past, chosen)
    times = pd.to_datetime(pd.Series(timestamps), unit="s", utc=True)
    categorical("day_of_week", times.dt.day_of_week.to_numpy().astype(np.int64), WEEKDAYS)
    categorical("season", (times.dt.month.to_numpy().astype(np.int64) % 12) // 3, SEASONS)

    return EncodedDataset(
        schema=Schema(
            dataset=table.name,
            label_threshold=label_threshold,
            history_length=history_length,
            windows=(windows.early, windows.train, windows.valid),
            fields=tuple(slots.fields),
        ),
        ids=np.concatenate(slots.ids, axis=1),
        values=np.concatenate(slots.values, axis=1),
        labels=labels.astype(np.float32),
        timestamps=timestamps,
        source_rows=rows.index.to_numpy(np.int64),
        user_offsets=offsets,
        user_names=tuple(user_names),
    )


def _known(columns: Sequence[str], frame: pd.DataFrame) -> list[str]:
    """Those of `columns` that the data has."""
    return [column for column in columns if column in frame]


def _add_lists(
    slots: _Slots,
    name: str,
    lists: Sequence[tuple[str, ...]],
    item_codes: NDArray[np.int64],
    train: NDArray[np.bool_],
    known: Sequence[str] | None,
    schema: Schema | None,
) -> None:
    """A slot for each of an item's words, as many as the items of *train* have at most."""
    words = sorted({word for entry in lists for word in entry})
    code = {word: i for i, word in enumerate(words)}
    if schema is None:
        width = max([len(lists[i]) for i in np.unique(item_codes[train])] + [1])
    else:
        width = next(field.slots for field in schema.fields if field.name == name)
    table = np.full((len(lists), width), -1, dtype=np.int64)
    for i, entry in enumerate(lists):
        found = [code[word] for word in entry[:width]]
        table[i, : len(found)] = found
    slots.add_codes(name, "multivalued", table[item_codes], words, train, known)


def _profile_words(slots: _Slots, name: str, train: NDArray[np.bool_]) -> tuple[str, ...]:
    """The vocabulary of the field `name`, if it is large only its most frequent words, sorted."""
    position = next(i for i, field in enumerate(slots.fields) if field.name == name)
    field = slots.fields[position]
    if len(field.vocabulary) <= PROFILE_WORDS:
        return field.vocabulary
    used = slots.ids[position][train]
    count = np.bincount(used[used > field.first_id] - field.first_id - 1)
    chosen = np.sort(np.argsort(-count, kind="stable")[:PROFILE_WORDS])
    return tuple(field.vocabulary[i] for i in chosen)


def _add_profile(
    slots: _Slots,
    name: str,
    lists: Sequence[tuple[str, ...]],
    item_codes: NDArray[np.int64],
    past: Histories,
    words: Sequence[str],
) -> None:
    """Mean profile of the liked items: each item spreads a weight of 1 over all of its words."""
    code = {word: i for i, word in enumerate(words)}
    profile = np.zeros((len(lists), len(words)))
    for i, entry in enumerate(lists):
        for word in entry:
            if word in code:
                profile[i, code[word]] = 1 / len(entry)
    slots.add_profile(name, past.mean(profile[item_codes]), words)


def _lists(column: pd.Series) -> list[tuple[str, ...]]:
    return [entry if isinstance(entry, tuple) else () for entry in column]


def _check_windows(
    table: InteractionTable, rows: pd.DataFrame, offsets: NDArray[np.int64], windows: Windows
) -> None:
    if not len(rows):
        raise DataError(table.source, "the file holds no interactions")
    single = np.flatnonzero(np.diff(offsets) == 1)
    if len(single):
        row = rows.iloc[offsets[single[0]]]
        raise DataError(
            table.source,
            f"user '{row['user']}' has a single row ({len(single)} such users); a chronological "
            "split needs two or more: remove them, or drop them with data.drop_short_users=true",
            line=int(row["line"]),
            column="user",
        )
    ends = {"train": (0, windows.train), "valid": (windows.train, windows.valid)}
    for name, (start, stop) in {**ends, "test": (windows.valid, 100)}.items():
        if not len(window_rows(offsets, start, stop)):
            raise DataError(
                table.source,
                f"the {name} window ({start}-{stop} % of each user's rows) is empty; "
                "users need more rows, or the split other percentages",
            )
