"""Compare several runs: their tables side by side, and the settings that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from metaselector.evaluate.results import REQUIRED
from metaselector.report.groups import group_of, in_groups
from metaselector.report.inputs import read_table
from metaselector.report.page.folders import RESULTS_FILE, Folder
from metaselector.report.summary import Cell, Groups, mean_cells

METRICS = {"auc": "AUC", "logloss": "logloss", "gauc": "GAUC"}
_MISSING = "–"


class Beside(NamedTuple):
    """A table that several runs have in common.

    Attributes:
        title: which of the runs' tables it compares; empty if every run has only one.
        runs: indices of the runs that have the table.
        groups: lines by group; each run has a cell per metric of :data:`METRICS`, and the best cell
            of a line is marked.
        same_rows: whether all runs were tested on the same numbers of rows and users.
    """

    title: str
    runs: list[int]
    groups: Groups
    same_rows: bool


def side_by_side(folders: Sequence[Sequence[Folder]]) -> list[Beside]:
    """Compare every table that at least two runs have; `folders` are listed by run."""
    titles = [folder.title for of_run in folders for folder in of_run if not folder.overview]
    tables = []
    for title in dict.fromkeys(titles):
        paths = {
            place: folder.path
            for place, of_run in enumerate(folders)
            for folder in of_run
            if folder.title == title and not folder.overview
        }
        if len(paths) > 1:
            tables.append(_beside(title, paths))
    return tables


def _beside(title: str, paths: Mapping[int, Path]) -> Beside:
    results = [read_table(path / RESULTS_FILE, REQUIRED) for path in paths.values()]
    models = in_groups(name for table in results for name in table["model"])
    lines: dict[str, list[Cell]] = {model: [] for model in models}
    for table in results:
        present = set(table["model"])
        have = [model for model in models if model in present]
        columns = [mean_cells(table, have, metric) for metric in METRICS]
        found = dict(zip(have, map(list, zip(*columns, strict=True)), strict=True))
        for model, line in lines.items():
            line += found.get(model, [Cell(_MISSING)] * len(METRICS))
    marked = {model: _marked(line) for model, line in lines.items()}
    groups: Groups = []
    for model in models:
        if not groups or groups[-1][0] != group_of(model):
            groups.append((group_of(model), []))
        groups[-1][1].append((model, marked[model]))
    sizes = {tuple(map(int, table[["n_users", "n_test"]].iloc[0])) for table in results}
    return Beside(title, list(paths), groups, len(sizes) == 1)


def _marked(line: list[Cell]) -> list[Cell]:
    """Mark the best of a line by metric, compared as formatted; nothing if all are equal."""
    found = [Cell(cell.text) for cell in line]
    for offset, metric in enumerate(METRICS):
        of_metric = range(offset, len(line), len(METRICS))
        places = [i for i in of_metric if line[i].text not in (_MISSING, "")]
        numbers = pd.Series([float(line[i].text.split()[0]) for i in places], index=places)
        if numbers.nunique() < 2:
            continue
        best = numbers.min() if metric == "logloss" else numbers.max()
        for i in numbers.index[numbers == best]:
            found[i] = Cell(line[i].text, best=True)
    return found


def differences(settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Dotted keys whose values differ between nested mappings, with all values."""
    flat = [_flat(each) for each in settings]
    keys = dict.fromkeys(key for each in flat for key in each)
    found = []
    for key in keys:
        values = [each.get(key, _MISSING) for each in flat]
        if len(set(values)) > 1:
            found.append((key, values))
    return found


def _flat(settings: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in settings.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and value:
            found |= _flat(value, f"{name}.")
        else:
            found[name] = _shown(value)
    return found


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
