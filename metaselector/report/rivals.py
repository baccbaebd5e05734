"""What was chosen on *valid* for the rivals, in a sentence each."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from metaselector.report.inputs import read_table

RIVALS_FILE = "rivals.csv"
COLUMNS = ("seed", "model", "setting", "choice", "at_end")


def rival_notes(folder: Path) -> dict[str, str]:
    """A note by rival: the values of each setting that its seeds chose.

    Args:
        folder: of a results table; without ``rivals.csv`` there is nothing to say.

    Raises:
        DataError: the file is damaged.
    """
    path = folder / RIVALS_FILE
    if not path.exists():
        return {}
    found = read_table(path, COLUMNS)
    return {str(model): _note(str(model), of) for model, of in found.groupby("model", sort=False)}


def _note(model: str, found: pd.DataFrame) -> str:
    parts = []
    for setting, of in found.groupby("setting", sort=False):
        values = list(dict.fromkeys(map(_shown, of["choice"])))
        ends = " (an end of its grid)" if of["at_end"].astype(str).eq("True").any() else ""
        parts.append(f"{str(setting).replace('_', ' ')} {' or '.join(values)}{ends}")
    return f"{model} chose on valid: {', '.join(parts)}."


def _shown(value: object) -> str:
    try:
        return f"{float(str(value)):g}"
    except ValueError:
        return str(value)
