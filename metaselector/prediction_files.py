"""Predictions of rows in files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from metaselector.adapted_user import weights_frame
from metaselector.data.preparation.given_rows import Given
from metaselector.errors import DataError, UserError
from metaselector.files import atomic_file
from metaselector.trained import Trained

_SEPARATORS: Mapping[str, str] = {".csv": ",", ".tsv": "\t"}


def predicted_table(trained: Trained, history: Path, candidates: Path) -> pd.DataFrame:
    """The rows of `candidates`, adapted to each user's `history`.

    Returns:
        their columns, then ``probability`` and ``weight_<base model>``; of several tasks
        ``probability_<task>`` and ``weight_<base model>_<task>``.

    Raises:
        DataError: a file cannot be read, or a column or value of it is wrong.
    """
    given = read_rows(candidates)
    found = trained.predict(read_rows(history), given)
    weights = weights_frame(trained, found.weights)
    weights.columns = pd.Index(["_".join(("weight", *_parts(name))) for name in weights.columns])
    tasks = trained.known.schema.tasks
    names = ["probability"] if len(tasks) == 1 else [f"probability_{task}" for task in tasks]
    shape = len(given.frame), len(names)
    probabilities = pd.DataFrame(found.probabilities.reshape(shape), columns=names)  # [n, T]
    made = pd.concat([probabilities, weights], axis=1)
    return pd.concat([given.frame.drop(columns=made.columns, errors="ignore"), made], axis=1)


def read_rows(path: Path) -> Given:
    """Rows of a file; the values of a text file stay text.

    Raises:
        DataError: it is missing, or no file of rows.
    """
    suffix = path.suffix.lower()
    options: dict[str, Any] = {"dtype": str, "keep_default_na": False, "encoding": "utf-8-sig"}
    try:
        if suffix == ".parquet":
            return Given(pd.read_parquet(path), path)
        if suffix not in _SEPARATORS:
            raise DataError(path, "the name does not say what it is; bring .csv, .tsv or .parquet")
        # Blank lines stay, so that messages count lines as editors do.
        frame = pd.read_csv(path, sep=_SEPARATORS[suffix], skip_blank_lines=False, **options)
        return Given(frame, path, first_line=2)
    except (OSError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise DataError(path, f"cannot be read ({problem}); correct the path or file") from error


def write_rows(table: pd.DataFrame, path: Path) -> None:
    """Write a table as the name of the file says, atomically."""
    suffix = path.suffix.lower()
    if suffix not in (*_SEPARATORS, ".parquet"):
        raise UserError(f"{path}: choose a name that ends in .csv, .tsv or .parquet")
    with atomic_file(path) as temporary:
        if suffix == ".parquet":
            table.to_parquet(temporary, index=False)
        else:
            table.to_csv(temporary, sep=_SEPARATORS[suffix], index=False)


def _parts(name: Any) -> tuple[str, ...]:
    return name if isinstance(name, tuple) else (name,)
