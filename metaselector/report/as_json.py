"""Results as JSON, for programs."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from metaselector.report.inputs import read_table

_TABLES = {"results": "results.csv", "differences": "differences.csv"}


def as_text(value: Any) -> str:
    """JSON with line breaks, and one at the end.

    Example:
        >>> print(as_text({"auc": 0.5}))
        {
         "auc": 0.5
        }
        <BLANKLINE>
    """
    return json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows of a table; values that are missing or not finite become None.

    Example:
        >>> records(pd.DataFrame({"model": ["lr", "fm"], "auc": [0.5, float("nan")]}))
        [{'model': 'lr', 'auc': 0.5}, {'model': 'fm', 'auc': None}]
    """
    known = table.replace([np.inf, -np.inf], np.nan)
    plain = known.astype(object).where(known.notna(), None)
    return [{str(key): value for key, value in row.items()} for row in plain.to_dict("records")]


def run_results(run_dir: Path, folders: Iterable[Path], files: Iterable[Path]) -> dict[str, Any]:
    """What an evaluated run found.

    Args:
        run_dir: directory of the run.
        folders: those in it that may hold tables.
        files: paths to list, as the command prints them.

    Returns:
        ``run``; ``results`` and ``differences``, the rows of all tables of these names, each with
        its ``folder``; and ``files``.
    """
    found: dict[str, Any] = {"run": str(run_dir)}
    for key, name in _TABLES.items():
        found[key] = [
            {"folder": folder.relative_to(run_dir).as_posix(), **row}
            for folder in folders
            if (folder / name).exists()
            for row in records(read_table(folder / name, []))
        ]
    return found | {"files": [str(path) for path in files]}
