"""The file of the selectors' weights: one row per seed, model, test row and base model."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.common.files import atomic_file
from metaselector.data.interactions import Ints
from metaselector.evaluate.predictions import PIECE, write_grouped

FILE = "weights.parquet"
SCHEMA = pa.schema(
    {
        "seed": pa.int64(),
        "model": pa.string(),
        "user": pa.string(),
        "row": pa.int64(),  # position in the source file
        "base_model": pa.string(),
        "weight": pa.float32(),
    }
)
_WORDS = ("model", "user", "base_model")
_MEND = "run `metaselector evaluate` again"


class SelectorWeights(NamedTuple):
    """Weights of one seed.

    Attributes:
        seed: the run's seed.
        users: of each of n test rows, ``[n]``.
        rows: int64 ``[n]``, positions in the source file.
        of: float32 ``[n, K]`` by model.
    """

    seed: int
    users: NDArray[Any]
    rows: Ints
    of: dict[str, NDArray[np.float32]]


def save_weights(path: Path, seeds: Sequence[SelectorWeights], base_models: Sequence[str]) -> None:
    """Write the weights of several seeds atomically, a piece at a time.

    Args:
        base_models: names of the K base models.
    """
    with (
        atomic_file(path) as temporary,
        parquet.ParquetWriter(temporary, SCHEMA, compression="zstd") as writer,
    ):
        write_grouped(
            writer, (piece for weights in seeds for piece in _pieces(weights, base_models))
        )


def _pieces(weights: SelectorWeights, base_models: Sequence[str]) -> Iterator[pa.Table]:
    users, rows = pa.array(weights.users, pa.string()), pa.array(weights.rows, pa.int64())
    names, n_models = pa.array(base_models, pa.string()), len(base_models)
    step = max(1, PIECE // n_models)
    for model, values in weights.of.items():
        for start in range(0, len(values), step):
            part = values[start : start + step]
            at = pa.array(np.repeat(np.arange(start, start + len(part)), n_models))
            yield pa.table(
                {
                    "seed": np.full(part.size, weights.seed, dtype=np.int64),
                    "model": pa.array([model]).take(pa.array(np.zeros(part.size, np.int8))),
                    "user": users.take(at),
                    "row": rows.take(at),
                    "base_model": names.take(pa.array(np.tile(np.arange(n_models), len(part)))),
                    "weight": part.reshape(-1),  # [n, K] to [n * K]
                },
                schema=SCHEMA,
            )


def by_selector(path: Path) -> Iterator[pd.DataFrame]:
    """Yield the weights of each seed and model, with categories for text.

    Raises:
        DataError: the file is missing or damaged, or lacks a column.
    """
    try:
        with parquet.ParquetFile(path) as file:
            names = file.schema_arrow.names
        missing = [name for name in SCHEMA.names if name not in names]
        if missing:
            raise DataError(path, f"column is missing; {_MEND}", column=missing[0])
        with parquet.ParquetFile(path, read_dictionary=_WORDS) as file:
            waiting: list[pd.DataFrame] = []
            for group in range(file.num_row_groups):
                frame = file.read_row_group(group, columns=SCHEMA.names).to_pandas()
                for _, part in frame.groupby(["seed", "model"], sort=False, observed=True):
                    if waiting and _selector(part) != _selector(waiting[0]):
                        yield _joined(waiting)
                        waiting = []
                    waiting.append(part)
            if waiting:
                yield _joined(waiting)
    except FileNotFoundError as error:
        raise DataError(path, f"file not found; {_MEND}") from error
    except (OSError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(path, f"cannot be read ({reason}); {_MEND}") from error


def _selector(part: pd.DataFrame) -> tuple[int, str]:
    return int(part["seed"].iloc[0]), str(part["model"].iloc[0])


def _joined(parts: list[pd.DataFrame]) -> pd.DataFrame:
    """Parts whose words have different categories."""
    joined = {}
    for name in parts[0]:
        columns = [part[name] for part in parts]
        joined[name] = (
            pd.api.types.union_categoricals(columns)
            if name in _WORDS
            else np.concatenate([column.to_numpy() for column in columns])
        )
    return pd.DataFrame(joined)
