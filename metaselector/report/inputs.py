"""Read and check the files of a run directory that tables and figures show."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.common.files import read_json

EVALUATE_AGAIN = "run `metaselector evaluate` again"
# Read as text, since a model may be named 1.
_NAMES = ("model", "baseline", "group", "base_model", "valid_best", "test_best")

_COUNTS = frozenset((
    "seed", "n_users", "n_test", "gauc_users", "n_lists", "common_users", "common_test",
    "support_size", "n",
))  # fmt: skip
_NUMBERS = frozenset((
    "auc", "logloss", "rela_impr", "gauc", "ndcg_10", "mrr", "list_auc", "list_ndcg_10",
    "list_mrr", "gap_closed_auc",
    "gap_closed_logloss", "gap_closed_headroom", "common_auc", "common_logloss", "users", "share",
    "weight", "epoch", "train_loss", "valid_loss", "mean", "low", "high", "difference", "p_holm",
    "p_floor",
    "rows", "of", "steps", "trained_steps", "predicted", "observed", "improvement", "entropy",
    "spearman", "seconds", "best_so_far",
    "value", "baseline_value",
))  # fmt: skip


def read_table(
    path: Path,
    columns: Collection[str],
    mend: str = EVALUATE_AGAIN,
    *,
    optional: Collection[str] = (),
    gaps: Collection[str] = (),
    narrow: bool = False,
) -> pd.DataFrame:
    """Read a ``.csv`` or ``.parquet`` file.

    Args:
        columns: columns that must be present.
        mend: what to do about an error, for its message.
        optional: columns that are checked if they are present.
        gaps: columns of `columns` that may have empty cells.
        narrow: of ``.parquet``, read no columns but `columns`, and names as categories, which
            saves memory in long tables.

    Raises:
        DataError: the file is missing or damaged, lacks a column, or has text instead of numbers.
    """
    try:
        frame = (
            _read_parquet(path, columns if narrow else None)
            if path.suffix == ".parquet"
            # A model may be named NA; only empty cells are missing.
            else pd.read_csv(
                path,
                dtype=dict.fromkeys(_NAMES, "str"),
                keep_default_na=False,
                na_values=[""],
            )
        )
    except FileNotFoundError as error:
        raise DataError(path, f"file not found; {mend}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(path, f"cannot be read ({reason}); {mend}") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(path, f"column is missing; {mend}", column=missing[0])
    present = [*columns, *(column for column in optional if column in frame)]
    for column in present if len(frame) else ():
        values = frame[column]
        problem = _problem(column, values.dropna() if column in gaps else values)
        if problem:
            raise DataError(path, f"{problem}; {mend}", column=column)
    return frame


def _read_parquet(path: Path, columns: Collection[str] | None) -> pd.DataFrame:
    if columns is None:
        return pd.read_parquet(path)
    names = parquet.read_schema(path).names
    words = [name for name in _NAMES if name in names]
    return pd.DataFrame(
        parquet.read_table(
            path, columns=[name for name in columns if name in names], read_dictionary=words
        ).to_pandas()
    )


def _problem(name: str, values: pd.Series) -> str | None:
    """The first problem of a column, or None; files may have been edited."""
    if name == "model" and values.isna().any():
        return "some lines have no model name"
    if name in _COUNTS | _NUMBERS and not pd.api.types.is_numeric_dtype(values):
        return "contains text instead of numbers"
    if name in _COUNTS and not np.isfinite(values.to_numpy(np.float64)).all():
        return "contains values that are not whole numbers"
    return None


def read_command(path: Path) -> str:
    """The command that created a run, from ``environment.json``, on one line.

    Raises:
        DataError: the file is missing or damaged, or has no command.
    """
    try:
        command = read_json(path)["command"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, f"cannot read 'command'; {EVALUATE_AGAIN}") from error
    return " ".join(str(command).split())


def read_origin(path: Path, dataset: str) -> tuple[str, list[str]]:
    """The title of the data set, and notes on it, from ``environment.json``.

    Official copies, of which all users are measured, have the title `dataset` and no notes.

    Raises:
        DataError: the file is missing or damaged.
    """
    try:
        made_with = read_json(path)
        notes = [str(made_with["data_limit"])] if made_with.get("data_limit") is not None else []
        if (most := made_with.get("max_users")) is not None:
            notes.append(
                f"Of valid, and of test, at most {int(most):,} users, drawn at random "
                "(evaluate.max_users)."
            )
        return str(made_with.get("data_title", dataset)), notes
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(path, f"cannot be read; {EVALUATE_AGAIN}") from error


def only_value(frame: pd.DataFrame, column: str, path: Path) -> str:
    """The only value of `column`; raises :class:`DataError` if there are none or several."""
    values: Iterable[object] = frame[column].unique()
    names = [str(value) for value in values]
    if len(names) != 1:
        problem = f"has {len(names)} values ({', '.join(names)}), but a table shows only one"
        raise DataError(path, problem, column=column)
    return names[0]
