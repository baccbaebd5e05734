"""Align the predictions of several models on the same rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

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
        rows: int64 ``[N]``, ascending positions in the source file; None if they are not known.
    """

    users: NDArray[Any]
    y: Floats
    p: dict[str, Floats]
    lists: Ints | None = None
    rows: Ints | None = None

    def of(self, model: str) -> Floats:
        """Predictions of `model`; raises :class:`UserError` if there are none."""
        if model not in self.p:
            raise UserError(f"no predictions of model '{model}'; {nearest(model, self.p)}")
        return self.p[model]

    @property
    def known_rows(self) -> Ints:
        """:attr:`rows`, which must be known."""
        assert self.rows is not None
        return self.rows

    def some(self, kept: NDArray[np.bool_]) -> Aligned:
        """The rows in which `kept` ``[N]`` is true."""
        return Aligned(
            self.users[kept],
            self.y[kept],
            {model: p[kept] for model, p in self.p.items()},
            None if self.lists is None else self.lists[kept],
            None if self.rows is None else self.rows[kept],
        )


def concatenated(parts: Sequence[Aligned]) -> Aligned:
    """The rows of all parts, with the same models, by position; rows that parts share count once.

    Example:
        >>> parts = [
        ...     Aligned(np.array([user]), np.ones(1), {"lr": np.array([p])}, rows=np.array([row]))
        ...     for user, p, row in (("ann", 0.6, 7), ("bob", 0.4, 2), ("ann", 0.6, 7))
        ... ]
        >>> concatenated(parts).users.tolist()
        ['bob', 'ann']
    """
    rows, kept = np.unique(np.concatenate([part.known_rows for part in parts]), return_index=True)
    lists = [part.lists for part in parts if part.lists is not None]
    return Aligned(
        np.concatenate([part.users for part in parts])[kept],
        np.concatenate([part.y for part in parts])[kept],
        {model: np.concatenate([part.p[model] for part in parts])[kept] for model in parts[0].p},
        np.concatenate(lists)[kept] if lists else None,
        rows,
    )


class PredictionTable(NamedTuple):
    """The long table of predictions with each row stored once per seed, not once per model.

    A table of 2 million rows and 25 models takes 0.5 GB this way.

    Attributes:
        seeds: by seed; :attr:`Aligned.rows` is known.
        task: name of the task.

    Example:
        >>> p = {"lr": np.array([0.6, 0.4]), "fm": np.array([0.9, 0.2])}
        >>> rows = Aligned(np.array(["ann", "bob"]), np.array([1.0, 0.0]), p, rows=np.arange(2))
        >>> PredictionTable({0: rows}).only({"fm": "mine"}).seeds[0].p
        {'mine': array([0.9, 0.2])}
    """

    seeds: dict[int, Aligned]
    task: str = "label"

    def only(self, names: Mapping[str, str]) -> PredictionTable:
        """The models that are keys of `names`, under the names that are its values."""
        return self._replace(
            seeds={
                seed: replace(of, p={names[m]: p for m, p in of.p.items() if m in names})
                for seed, of in self.seeds.items()
            }
        )

    def of_rows(self, rows: Ints) -> PredictionTable:
        """The rows at these positions in the source file."""
        return self._replace(
            seeds={seed: of.some(np.isin(of.known_rows, rows)) for seed, of in self.seeds.items()}
        )


Predictions = pd.DataFrame | PredictionTable
"""Predictions of any number of seeds, one task: a long table, or what holds the same in less."""


def compact(predictions: Predictions) -> PredictionTable:
    """The same predictions with each row stored once per seed.

    Raises:
        UserError: as :func:`align`.
    """
    if isinstance(predictions, PredictionTable):
        return predictions
    seeds = dict(by_seed(predictions))
    return (
        PredictionTable(seeds, str(predictions["task"].iloc[0])) if seeds else PredictionTable({})
    )


def models_of(predictions: Predictions) -> list[str]:
    """Names of the models, in order of first appearance."""
    if isinstance(predictions, PredictionTable):
        return list(dict.fromkeys(m for of in predictions.seeds.values() for m in of.p))
    return [str(model) for model in predictions["model"].unique()]


def has_lists(predictions: Predictions) -> bool:
    """Whether rows belong to lists."""
    if isinstance(predictions, PredictionTable):
        return any(of.lists is not None for of in predictions.seeds.values())
    return LIST in predictions


def by_seed(predictions: Predictions) -> Iterator[tuple[int, Aligned]]:
    """Align the predictions of each seed, in order of first appearance."""
    if isinstance(predictions, PredictionTable):
        yield from ((seed, of) for seed, of in predictions.seeds.items() if len(of.y))
        return
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
        rows=first["row"].to_numpy(np.int64),
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
