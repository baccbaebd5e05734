"""Align the predictions of several models on the same rows."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.common.errors import UserError, nearest
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.checks import checked_rows, checked_users

LIST = "list"
"""Column of the long table with the list of each row, of data with lists."""


@dataclass(frozen=True)
class Aligned:
    """Predictions of one seed's models for the same N rows.

    Attributes:
        users: ``[N]``.
        y: float64 ``[N]``, 0 or 1.
        p: float64 ``[N]`` by model, in the order in which models first appear.
        lists: int64 ``[N]``, the list of each row; None if rows belong to no lists.
    """

    users: NDArray[Any]
    y: Floats
    p: dict[str, Floats]
    lists: Ints | None = None

    def of(self, model: str) -> Floats:
        """Predictions of `model`; raises :class:`UserError` if there are none."""
        if model not in self.p:
            raise UserError(f"no predictions of model '{model}'; {nearest(model, self.p)}")
        return self.p[model]


def by_seed(predictions: pd.DataFrame) -> Iterator[tuple[int, Aligned]]:
    """Align the predictions of each seed, in order of first appearance."""
    for _, frame in predictions.groupby("seed", sort=False):
        yield int(frame["seed"].iloc[0]), align(frame)


def align(predictions: pd.DataFrame) -> Aligned:
    """Align the predictions of one seed's models.

    Args:
        predictions: a long table of one seed and one task.

    Raises:
        UserError: the table is empty or has several seeds or tasks; a model predicts a row twice,
            or other rows than the first model; users, labels or lists of a row differ; or a user,
            label or prediction is invalid.
    """
    if predictions.empty:
        raise UserError("the table of predictions is empty")
    for column in ("seed", "task"):
        values = predictions[column].unique()
        if len(values) > 1:
            raise UserError(
                f"predictions of more than one {column} ({values[0]}, {values[1]}, ...)"
            )
    where = f"seed {predictions['seed'].iloc[0]}, model"
    frames = {
        str(model): frame.sort_values("row", kind="stable")
        for model, frame in predictions.groupby("model", sort=False)
    }
    first_model, first = next(iter(frames.items()))
    for model, frame in frames.items():
        difference = _difference(frame, first, first_model)
        if difference:
            raise UserError(f"{where} '{model}': {difference}")
        try:
            checked_rows(frame["y"], frame["p"], checked_users(frame["user"]))
        except UserError as error:
            raise UserError(f"{where} '{model}': {error}") from error
    return Aligned(
        users=first["user"].to_numpy(dtype=object),
        y=first["y"].to_numpy(np.float64),
        p={model: frame["p"].to_numpy(np.float64) for model, frame in frames.items()},
        lists=first[LIST].to_numpy(np.int64) if LIST in first else None,
    )


def _difference(frame: pd.DataFrame, other: pd.DataFrame, other_model: str) -> str:
    """The first difference between two frames, predictions aside; both are sorted by row."""
    rows, other_rows = frame["row"].to_numpy(), other["row"].to_numpy()
    repeated = np.flatnonzero(np.diff(rows) == 0)
    if len(repeated):
        return f"row {rows[repeated[0]]} is predicted more than once"
    for kind, odd in (
        ("lacks {} of the rows of", np.setdiff1d(other_rows, rows)),
        ("predicts {} rows more than", np.setdiff1d(rows, other_rows)),
    ):
        if len(odd):
            return f"{kind.format(len(odd))} '{other_model}', the first is row {odd[0]}"
    lists = ((LIST, "list"),) if LIST in frame else ()
    for column, name in (("user", "user"), ("y", "label"), *lists):
        mine, theirs = frame[column].to_numpy(), other[column].to_numpy()
        differing = np.flatnonzero(mine != theirs)
        if len(differing):
            at = differing[0]
            return (
                f"row {rows[at]} has {name} {mine[at]}, but {theirs[at]} in '{other_model}' "
                f"({len(differing)} such rows)"
            )
    return ""
