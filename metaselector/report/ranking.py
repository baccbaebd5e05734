"""Further tables of a run: ranking metrics by user and within lists, with all differences."""

from __future__ import annotations

from itertools import groupby

import numpy as np
import pandas as pd

from metaselector.evaluate.bounds import BOUNDS
from metaselector.evaluate.comparisons import BEST_SINGLE, TARGET
from metaselector.evaluate.lists import COUNT
from metaselector.report.groups import group_of
from metaselector.report.summary import (
    DIFFERENCE,
    RANKING,
    WITH_P,
    WITHIN_LISTS,
    Cell,
    Shown,
    Summary,
    difference_text,
    mean_columns,
    mean_titles,
    means,
)

_COMPARED = {"auc": "AUC", "gauc": "GAUC", "ndcg_10": "NDCG@10", "mrr": "MRR"}
_OF_LISTS = {shown.name: shown.title for shown in WITHIN_LISTS}
_FAMILIES = {
    TARGET: ("baseline", f"{TARGET} − row", f"{TARGET} minus this row"),
    BEST_SINGLE: ("model", "row − best single", "this row minus the best single model on valid"),
}


def ranking_table(results: pd.DataFrame, differences: pd.DataFrame | None) -> Summary | None:
    """Build the table from ``results.csv`` and ``differences.csv``.

    Returns:
        NDCG@10 and MRR of each model, and differences in AUC, GAUC, NDCG@10 and MRR with intervals:
        MetaSelector minus each row or, without MetaSelector, each row minus the best single model.
        None for results of earlier versions, which lack these metrics.
    """
    note = (
        "NDCG@10 and MRR: means over the users in GAUC; in all columns, higher is better and ties "
        "count with their expected value."
    )
    return _table("Ranking by user", note, results, differences, RANKING, _COMPARED)


def list_table(results: pd.DataFrame, differences: pd.DataFrame | None) -> Summary | None:
    """The same for the metrics within lists; None if the data has no lists."""
    if COUNT not in results:
        return None
    counts = results[COUNT].astype(int)
    low, high = (f"{count:,}" for count in (counts.min(), counts.max()))
    note = (
        f"Means over the {low if low == high else f'{low} to {high}'} lists with both classes, "
        "each of which counts once; in all columns, higher is better and ties count with their "
        "expected value."
    )
    return _table("Ranking within lists", note, results, differences, WITHIN_LISTS, _OF_LISTS)


def _table(
    name: str,
    note: str,
    results: pd.DataFrame,
    differences: pd.DataFrame | None,
    shown: tuple[Shown, ...],
    compared: dict[str, str],
) -> Summary | None:
    frame = means(results[~results["model"].isin(BOUNDS)], shown)
    titles, columns = mean_titles(frame, shown), mean_columns(frame, shown)
    if not titles:
        return None
    notes = [note]
    family, plain = _family(differences), len(titles)
    if differences is not None and family:
        row, title, words = _FAMILIES[family]
        found = differences[differences["family"] == family].set_index(row)
        with_p = bool(found["p_holm"].notna().any())
        for metric, of in compared.items():
            if metric in set(found["metric"]):
                of_metric = found.loc[found["metric"] == metric].reindex(columns=list(DIFFERENCE))
                lines = of_metric.reindex(frame.index).to_numpy(np.float64)
                titles.append(f"{of}: {title}, 95 %{WITH_P if with_p else ''}")
                columns.append([Cell(difference_text(*line, with_p=True)) for line in lines])
        notes.append(_about(family, words, with_p=with_p))
    rows = dict(zip(frame.index, map(list, zip(*columns, strict=True)), strict=True))
    groups = [(g, [(m, rows[m]) for m in mine]) for g, mine in groupby(rows, key=group_of)]
    about = {note: tuple(titles[plain:]) for note in notes[1:]}
    return Summary(name, notes, titles, groups, about=about)


def _about(family: str, words: str, *, with_p: bool) -> str:
    if family == TARGET:
        same = "intervals, p-values and their correction" if with_p else "intervals"
        return f"Differences: {words}, so that a positive one is a gain; {same} are as above."
    corrected = "; two-sided p-values are corrected by Holm's method" if with_p else ""
    return f"Differences: {words}, so that a positive one is a gain of this row{corrected}."


def _family(differences: pd.DataFrame | None) -> str | None:
    present = set() if differences is None else set(differences["family"])
    return next((family for family in _FAMILIES if family in present), None)
