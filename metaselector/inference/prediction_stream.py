"""Predict the rows of files of any length: some thousand users at a time, the rest on disk."""

from __future__ import annotations

import errno
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import CandidateWarning, UserError
from metaselector.data.interactions import Ints
from metaselector.data.preparation.given_file import given_file
from metaselector.data.preparation.given_labels import warn_labels
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.late_support import LateSupport
from metaselector.data.preparation.newcomers import check_user_features, with_new_items
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.preparation.unknown import (
    Unknown,
    find_unknown,
    warn_of_others,
    warn_unknown,
)
from metaselector.data.preparation.user_table import UserTable
from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.spill import SpilledBlocks, chosen
from metaselector.inference.adapted_users import prediction_columns
from metaselector.inference.kept_predictions import KeptPredictions
from metaselector.inference.popular import popular_items
from metaselector.inference.trained import TrainedModel

USERS = 2**12
"""Most users of a group, which is encoded and predicted at once."""
ROWS = 2**18
"""With how many rows a group needs no more users."""


@contextmanager
def predicted_tables(
    trained: TrainedModel,
    history: Path,
    candidates: Path | None,
    *,
    items: int = 10,
    allow_unknown: bool = False,
    users: int = USERS,
) -> Iterator[Iterator[pa.Table]]:
    """Predict the rows of `candidates`, adapted to each user's `history`.

    Both files are copied to a temporary folder, and so are the predictions until all are made.
    Memory holds the rows of `users` users, and the distinct items and words of the files; it does
    not grow with the number of users.

    Args:
        candidates: None: those of :func:`~metaselector.inference.popular.popular_items`, each
            user's most probable first.
        items: how many of these per user.
        allow_unknown: as for :class:`~metaselector.inference.adapted_user.AdaptedUser`.
        users: how many users to predict at a time; numbers change only by rounding.

    Yields:
        parts of a table, at least one, to be read in this context. The columns are those of
        `candidates` (as text if the file is text), then ``probability`` and ``weight_<base
        model>``; with several tasks ``probability_<task>`` and ``weight_<base model>_<task>``.

    Raises:
        DataError: a file cannot be read, has a wrong column or value, or only unknown items.
        UserError: the disk of temporary files is full.

    Warns:
        UnknownWarning: users, items or words are unknown to the model, or the history has only
            rows of other users.
        CandidateWarning: candidates are older than their user's support, or part of it.
        LabelWarning: a label of the history holds 0 and 1 where ratings are expected.
    """
    with tempfile.TemporaryDirectory(prefix="metaselector-") as name:
        folder = Path(name)
        with KeptPredictions(folder / "predictions") as kept:
            with _full_disk_is_named(folder.parent), UserTable(trained.encoder) as table:
                past = given_file(trained.encoder, history, labelled=True, keep=_to(folder / "h"))
                keep = _to(folder / "c")
                if candidates is None:
                    groups = _groups(table, past, users)
                    asked = popular_items(trained.encoder, past, items, groups, keep)
                else:
                    asked = given_file(
                        trained.encoder, candidates, labelled=False, every_column=True, keep=keep
                    )
                _predict(trained, table, (past, asked), kept, allow_unknown, users)
            yield _tables(trained, asked, kept, best_first=candidates is None)


def _predict(
    trained: TrainedModel,
    table: UserTable,
    given: tuple[RawRows, RawRows],
    kept: KeptPredictions,
    allow_unknown: bool,
    users: int,
) -> None:
    """Check the history and the candidates, predict, and warn."""
    encoder, (past, asked) = trained.encoder, given

    def unknown_users(part: int) -> Unknown:
        table.add(part, given[part])
        return table.unknown(part)

    unknown = [
        find_unknown(encoder, rows, allow=allow_unknown, users=partial(unknown_users, part))
        for part, rows in enumerate(given)
    ]
    for part, rows in enumerate(given):  # in the order of the files, which the groups do not have
        for _ in interactions_of(encoder, rows, labelled=part == 0):
            pass
    check_user_features(encoder, given)
    trained = replace(trained, encoder=with_new_items(encoder, given))
    for part, rows in enumerate(given):
        table.add(part, rows)
    late = LateSupport()
    for of_past, of_asked in table.groups(users, ROWS):
        if not len(of_asked) and (late.again or encoder.rows.tabular):
            continue  # there is nothing to predict or to learn
        group = _some(past, of_past), _some(asked, of_asked, before=len(past))
        found, more = trained.predict_quietly(*group)
        kept.write(of_asked, found)
        late += more
    for doubt in late:
        warnings.warn(f"{asked.source}: {doubt}", CandidateWarning, stacklevel=5)
    for rows, strangers in zip(given, unknown, strict=True):
        warn_unknown(rows.source, strangers)
    if table.apart:
        warn_of_others(past.source, table.few(0), asked.source, table.few(1))
    warn_labels(encoder, past.source, past.blocks)


def _groups(table: UserTable, past: RawRows, users: int) -> Iterator[RawRows]:
    """The rows of some users at a time."""
    table.add(0, past)
    for (rows,) in table.groups(users, ROWS):
        yield _some(past, rows)


def _some(given: RawRows, rows: Ints, before: int = 0) -> RawRows:
    """Some rows, in memory; `before` rows come before the given ones in the log of both files."""
    return replace(given, blocks=chosen(given.blocks, rows), numbers=before + rows)


def _tables(
    trained: TrainedModel, asked: RawRows, kept: KeptPredictions, *, best_first: bool
) -> Iterator[pa.Table]:
    """The candidates with their predictions, block by block."""
    if not asked.blocks:
        nobody = asked.without_rows()
        made = prediction_columns(trained, trained.predict_quietly(nobody, nobody)[0])
        table = pa.table({name: pa.array([], pa.string()) for name in asked.names})
        yield _beside(table, made)
    for block in asked.blocks:
        made = prediction_columns(trained, kept.read(len(block.lines)))
        table = _beside(pa.Table.from_batches([pa.record_batch(block.columns)]), made)
        yield _best_first(trained, table, next(iter(made))) if best_first else table


def _beside(table: pa.Table, made: Mapping[str, NDArray[np.floating]]) -> pa.Table:
    """The table with the columns `made`, in place of columns that have such a name."""
    table = table.drop_columns([name for name in table.column_names if name in made])
    for name, values in made.items():
        table = table.append_column(name, pa.array(values))
    return table


def _best_first(trained: TrainedModel, table: pa.Table, probability: str) -> pa.Table:
    """The rows of each user by falling probability, users as they are."""
    users = pd.factorize(np.array(table[trained.encoder.rows.column("user")].to_pylist()))[0]
    return table.take(pa.array(np.lexsort((-table[probability].to_numpy(), users))))


def _to(folder: Path) -> Callable[[Iterable[RawBlock]], Sequence[RawBlock]]:
    """Keep blocks in a new folder."""
    folder.mkdir()
    return partial(SpilledBlocks.write, folder=folder)


@contextmanager
def _full_disk_is_named(folder: Path) -> Iterator[None]:
    """Turn the error of a full disk into one that says which."""
    try:
        yield
    except (OSError, duckdb.IOException, duckdb.OutOfMemoryException) as error:
        if isinstance(error, OSError) and error.errno not in _FULL:
            raise
        reason = " ".join(str(error).split())[:200]
        raise UserError(
            f"{folder}: temporary files cannot be written ({reason}); free some space, or set the "
            "environment variable TMPDIR to another folder"
        ) from error


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
