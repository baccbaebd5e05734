"""The long table of predictions: one row per seed, model and test row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.common.files import atomic_file
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.raw.expansion import read_whole
from metaselector.evaluate.alignment import LIST, Aligned, Predictions, PredictionTable, has_lists

SCHEMA = pa.schema(
    {
        "seed": pa.int64(),
        "model": pa.string(),
        "user": pa.string(),
        "row": pa.int64(),  # position in the source file
        "task": pa.string(),
        "y": pa.float32(),  # 0 or 1
        "p": pa.float64(),  # probability of 1
    }
)
LISTS = SCHEMA.append(pa.field(LIST, pa.int64()))  # position of the list among all lists
"""Schema of the long table of data with lists."""
COLUMNS = tuple(SCHEMA.names)
TASK = "label"
PIECE = 2**20
"""Rows of the long table that are in memory at a time."""
_MEND = "run `metaselector evaluate` again"


def long_table(
    seed: int,
    model: str,
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    p: ArrayLike,
    task: int = 0,
) -> pd.DataFrame:
    """The predictions of one model of one seed as rows of the long table.

    Args:
        seed: the run's seed.
        model: the model's name.
        dataset: what was predicted.
        rows: int64 ``[N]``, positions in `dataset`.
        p: probabilities ``[N]``, in the order of `rows`.
        task: index of the task, which all rows must observe.

    Returns:
        `N` rows with the columns :data:`COLUMNS`, and ``list`` if the data has lists.

    Raises:
        ValueError: `rows` and `p` differ in shape, or a probability is nan or outside of 0 to 1.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 5, 4, np.random.default_rng(0)).dataset
        >>> table = long_table(0, "lr", dataset, np.array([0, 7]), [0.2, 0.9])
        >>> table[["seed", "model", "user", "p"]]
           seed model user    p
        0     0    lr    0  0.2
        1     0    lr    1  0.9
    """
    probabilities = _checked(model, rows, p)
    names = np.asarray(dataset.user_names, dtype=object)
    made = pd.DataFrame(
        {
            "seed": np.full(len(rows), seed, dtype=np.int64),
            "model": pd.array([model] * len(rows), dtype="str"),
            "user": pd.array(names[dataset.users[rows]], dtype="str"),
            "row": np.asarray(dataset.source_rows[rows], dtype=np.int64),
            "task": pd.array([task_name(dataset, task)] * len(rows), dtype="str"),
            "y": np.asarray(dataset.task_labels[rows, task], dtype=np.float32),
            "p": probabilities,
        }
    )
    lists = _lists(dataset, rows)
    return made if lists is None else made.assign(list=lists)


def aligned_rows(
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    columns: Mapping[str, ArrayLike],
    task: int = 0,
) -> Aligned:
    """The predictions of several models of one seed, each row stored once.

    Args:
        columns: probabilities ``[N]`` by model, in the order of `rows`; otherwise as
            :func:`long_table`, whose errors it raises too.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> dataset = planted_world(2, 5, 4, np.random.default_rng(0)).dataset
        >>> found = aligned_rows(dataset, np.array([7, 0]), {"lr": [0.9, 0.2]})
        >>> found.users.tolist(), found.p["lr"].tolist()  # in order of the source file
        (['0', '1'], [0.2, 0.9])
    """
    sources = np.asarray(dataset.source_rows[rows], dtype=np.int64)
    order = np.argsort(sources, kind="stable")
    names, lists = np.asarray(dataset.user_names, dtype=object), _lists(dataset, rows)
    return Aligned(
        users=names[dataset.users[rows[order]]],
        y=np.asarray(dataset.task_labels[rows[order], task], dtype=np.float64),
        p={model: _checked(model, rows, p)[order] for model, p in columns.items()},
        lists=None if lists is None else lists[order],
        rows=sources[order],
    )


def _checked(model: str, rows: NDArray[np.int64], p: ArrayLike) -> NDArray[np.float64]:
    probabilities = np.asarray(p, dtype=np.float64)
    if probabilities.shape != rows.shape:
        raise ValueError(f"{model}: {probabilities.shape} predictions of {rows.shape} rows")
    bad = ~((probabilities >= 0) & (probabilities <= 1))  # nan too
    if bad.any():
        raise ValueError(f"{model}: {bad.sum()} predictions are not in [0, 1]")
    return probabilities


def _lists(dataset: EncodedDataset, rows: NDArray[np.int64]) -> NDArray[np.int64] | None:
    if dataset.list_offsets is None:
        return None
    return np.searchsorted(dataset.list_offsets, rows, side="right") - 1


def task_name(dataset: EncodedDataset, task: int) -> str:
    """Name of a task in the long table; a single task is always :data:`TASK`."""
    tasks = dataset.schema.tasks
    return TASK if len(tasks) == 1 else tasks[task]


def save_predictions(predictions: Predictions, path: Path) -> None:
    """Write the long table atomically as zstd-compressed Parquet.

    Args:
        predictions: the long table, or a :class:`~metaselector.evaluate.alignment.PredictionTable`,
            of which a piece at a time becomes a long table.

    Example:
        >>> import tempfile
        >>> table = pd.DataFrame({"seed": 0, "model": "lr", "user": ["ann"], "row": 0})
        >>> table = table.assign(task="label", y=1.0, p=0.9)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_predictions(table, Path(folder, "predictions.parquet"))
        ...     load_predictions(Path(folder, "predictions.parquet"))
           seed model user  row   task    y    p
        0     0    lr  ann    0  label  1.0  0.9
    """
    schema = LISTS if has_lists(predictions) else SCHEMA
    with (
        atomic_file(path) as temporary,
        parquet.ParquetWriter(temporary, schema, compression="zstd") as writer,
    ):
        if isinstance(predictions, PredictionTable):
            write_grouped(writer, _pieces(predictions, schema))
        else:
            writer.write_table(
                pa.Table.from_pandas(predictions, schema=schema, preserve_index=False)
            )


def write_grouped(writer: parquet.ParquetWriter, pieces: Iterable[pa.Table]) -> None:
    """Write tables of at most :data:`PIECE` rows, small ones together."""
    waiting: list[pa.Table] = []
    for piece in pieces:
        if waiting and sum(map(len, waiting)) + len(piece) > PIECE:
            writer.write_table(pa.concat_tables(waiting))
            waiting = []
        waiting.append(piece)
    if waiting:
        writer.write_table(pa.concat_tables(waiting))


def _pieces(predictions: PredictionTable, schema: pa.Schema) -> Iterator[pa.Table]:
    """The long table, seed by seed and model by model."""
    for seed, of in predictions.seeds.items():
        rows = pa.array(of.known_rows, pa.int64())
        users, y = pa.array(of.users, pa.string()), pa.array(of.y.astype(np.float32))
        for model, p in of.p.items():
            for start in range(0, len(p), PIECE):
                part = slice(start, start + PIECE)
                n = len(p[part])
                columns = {
                    "seed": pa.array(np.full(n, seed, dtype=np.int64)),
                    "model": pa.array([model], pa.string()).take(pa.array(np.zeros(n, np.int8))),
                    "user": users[part],
                    "row": rows[part],
                    "task": pa.array([predictions.task]).take(pa.array(np.zeros(n, np.int8))),
                    "y": y[part],
                    "p": pa.array(p[part]),
                }
                if of.lists is not None:
                    columns[LIST] = pa.array(of.lists[part], pa.int64())
                yield pa.table(columns, schema=schema)


def load_predictions(path: Path) -> pd.DataFrame:
    """Read a long table.

    Raises:
        DataError: the file is missing or damaged, a column is missing or has another type, a value
            is empty, a label is not 0 or 1, or a prediction is not in [0, 1].
    """
    try:
        table = read_whole(path)
    except FileNotFoundError as error:
        raise DataError(path, f"file not found; {_MEND}") from error
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0]
        raise DataError(path, f"damaged or not a Parquet file ({reason}); {_MEND}") from error
    schema = LISTS if LIST in table.column_names else SCHEMA
    for field in schema:
        if field.name not in table.column_names:
            raise DataError(path, f"column is missing; {_MEND}", column=field.name)
        column = table[field.name]
        text = pa.types.is_string(field.type) and pa.types.is_large_string(column.type)
        if column.type != field.type and not text:  # pandas writes large strings
            problem = f"has type {column.type}, expected {field.type}; {_MEND}"
            raise DataError(path, problem, column=field.name)
        if column.null_count:
            raise DataError(
                path, f"{column.null_count} values are empty; {_MEND}", column=field.name
            )
    frame: pd.DataFrame = table.select(schema.names).to_pandas()
    _check_values(path, "y", frame["y"].isin([0, 1]), "neither 0 nor 1")
    _check_values(path, "p", frame["p"].between(0, 1), "not in [0, 1]")
    return frame


def _check_values(path: Path, column: str, good: pd.Series[bool], problem: str) -> None:
    bad = np.flatnonzero(~good)
    if len(bad):
        problem = f"{len(bad)} values are {problem}, the first in record {bad[0] + 1}; {_MEND}"
        raise DataError(path, problem, column=column)
