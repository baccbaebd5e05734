"""Several runs side by side: every row of their tables, and the settings that differ."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from metaselector.report.groups import group_of, in_groups
from metaselector.report.inputs import read_table
from metaselector.report.page.folders import RESULTS_FILE, Folder
from metaselector.report.summary import RESULT_COLUMNS, Cell, Groups, mean_cells

METRICS = {"auc": "AUC", "logloss": "logloss"}
_MISSING = "–"


class Beside(NamedTuple):
    """A table of several runs.

    Attributes:
        title: which of their tables it compares; empty where each has one.
        runs: places of the runs that have it.
        groups: lines by group; of each run a cell for every one of :data:`METRICS`, and the best of
            a line marked.
        same_rows: all of them were tested on the same number of rows and users.
    """

    title: str
    runs: list[int]
    groups: Groups
    same_rows: bool


def side_by_side(folders: Sequence[Sequence[Folder]]) -> list[Beside]:
    """A table for every one that at least two of the runs have; `folders` are those of each."""
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
    results = [read_table(path / RESULTS_FILE, RESULT_COLUMNS) for path in paths.values()]
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
    """The best of a line by metric, compared as shown; nothing where all are alike."""
    found = [Cell(cell.text) for cell in line]
    for offset, metric in enumerate(METRICS):
        places = [i for i in range(offset, len(line), len(METRICS)) if line[i].text != _MISSING]
        numbers = pd.Series([float(line[i].text.split()[0]) for i in places], index=places)
        if numbers.nunique() < 2:
            continue
        best = numbers.min() if metric == "logloss" else numbers.max()
        for i in numbers.index[numbers == best]:
            found[i] = Cell(line[i].text, best=True)
    return found


def differences(settings: Sequence[Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """The keys of nested mappings whose values are not the same in all, with those."""
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
