"""Read the files of a run directory that tables and figures show."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa

from metaselector.common.errors import DataError
from metaselector.common.files import read_json

_MEND = "run `metaselector evaluate` again"
# A model may be called 1; nothing else that is text looks like a number.
_NAMES = ("model", "baseline", "group", "base_model", "valid_best", "test_best")

_COUNTS = frozenset(
    ("seed", "n_users", "n_test", "gauc_users", "common_users", "common_test", "support_size")
)
_NUMBERS = frozenset(
    [
        "auc",
        "logloss",
        "rela_impr",
        "gauc",
        "gap_closed_auc",
        "gap_closed_logloss",
        "common_auc",
        "common_logloss",
        "users",
        "share",
        "weight",
        "epoch",
        "train_loss",
        "valid_loss",
        "mean",
        "low",
        "high",
        "difference",
        "p_holm",
        "rows",
        "of",
        "steps",
        "trained_steps",
        "predicted",
        "observed",
        "improvement",
        "entropy",
        "spearman",
        "seconds",
        "best_so_far",
    ]
)


def read_table(path: Path, columns: Collection[str], mend: str = _MEND) -> pd.DataFrame:
    """Read a ``.csv`` or ``.parquet`` file; `mend` says what makes it anew.

    Raises:
        DataError: it is missing or damaged, lacks one of `columns`, or has text for numbers.
    """
    try:
        frame = (
            pd.read_parquet(path)
            if path.suffix == ".parquet"
            # A model may be called NA; what is missing is empty.
            else pd.read_csv(
                path,
                dtype=dict.fromkeys(_NAMES, "str"),
                keep_default_na=False,
                na_values=[""],
            )
        )
    except FileNotFoundError as error:
        raise DataError(path, f"no such file; {mend}") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(path, f"cannot be read ({reason}); {mend}") from error
    missing = [column for column in columns if column not in frame]
    if missing:
        raise DataError(path, f"has no such column; {mend}", column=missing[0])
    for column in columns if len(frame) else ():
        problem = _problem(column, frame[column])
        if problem:
            raise DataError(path, f"{problem}; {mend}", column=column)
    return frame


def _problem(name: str, values: pd.Series) -> str | None:
    """What is wrong with a column that somebody has edited, or nothing."""
    if name == "model" and values.isna().any():
        return "names no model in some lines"
    if name in _COUNTS | _NUMBERS and not pd.api.types.is_numeric_dtype(values):
        return "holds text, not only numbers"
    if name in _COUNTS and not np.isfinite(values.to_numpy(np.float64)).all():
        return "holds something else than whole numbers"
    return None


def read_command(path: Path) -> str:
    """The command that made a run, from ``environment.json``, on one line.

    Raises:
        DataError: the file is missing or damaged, or does not say.
    """
    try:
        command = read_json(path)["command"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(path, f"does not name the 'command' of the run; {_MEND}") from error
    return " ".join(str(command).split())


def only_value(frame: pd.DataFrame, column: str, path: Path) -> str:
    """The one value of `column`; raises :class:`DataError` where there are none or several."""
    values: Iterable[object] = frame[column].unique()
    names = [str(value) for value in values]
    if len(names) != 1:
        problem = f"holds {len(names)} values ({', '.join(names)}), a table shows one"
        raise DataError(path, problem, column=column)
    return names[0]
