"""Read the long table of predictions without holding it: each row once, not once per model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pyarrow import parquet

from metaselector.common.errors import DataError
from metaselector.data.interactions import Ints
from metaselector.data.raw.expansion import check_parquet
from metaselector.evaluate.alignment import LIST, Aligned, PredictionTable, compact
from metaselector.evaluate.predictions import SCHEMA, load_predictions

_AT_ONCE = 2**18  # rows


def load_table(path: Path) -> PredictionTable:
    """Read a long table that :func:`~metaselector.evaluate.predictions.save_predictions` wrote.

    Evaluation writes the models of a seed one after another, each with the same rows in the same
    order. Such a file is read in pieces; any other one as a whole.

    Raises:
        DataError: as :func:`~metaselector.evaluate.predictions.load_predictions`.
        UserError: as :func:`~metaselector.evaluate.alignment.align`.

    Example:
        >>> import tempfile
        >>> from metaselector.evaluate.predictions import save_predictions
        >>> p = {"lr": np.array([0.6, 0.4]), "fm": np.array([0.9, 0.2])}
        >>> rows = Aligned(np.array(["ann", "bob"]), np.array([1.0, 0.0]), p, rows=np.arange(2))
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     save_predictions(PredictionTable({0: rows}), Path(folder, "predictions.parquet"))
        ...     load_table(Path(folder, "predictions.parquet")).seeds[0].p
        {'lr': array([0.6, 0.4]), 'fm': array([0.9, 0.2])}
    """
    try:
        with parquet.ParquetFile(path, read_dictionary=["model", "user", "task"]) as file:
            check_parquet(path, file)
            found = _Reader(file).read() if _is_regular(file.schema_arrow) else None
    except (OSError, KeyError, pa.ArrowException, DataError):
        found = None
    # The other way finds the error, if there is one, and its place.
    return compact(load_predictions(path)) if found is None else found


def _is_regular(schema: pa.Schema) -> bool:
    for field in SCHEMA:
        if field.name not in schema.names:
            return False
        type_ = schema.field(field.name).type
        if pa.types.is_dictionary(type_):
            type_ = type_.value_type
        if type_ != field.type and not (
            pa.types.is_string(field.type) and pa.types.is_large_string(type_)
        ):
            return False
    return LIST not in schema.names or schema.field(LIST).type == pa.int64()


class _Unusual(Exception):
    """The file is not as evaluation writes it."""


class _Rows:
    """The rows of a seed, as the first model has them, and the predictions of all models."""

    def __init__(self) -> None:
        self.parts: dict[str, list[NDArray[np.generic]]] = {}
        self.whole: dict[str, NDArray[np.generic]] = {}
        self.p: dict[str, list[NDArray[np.float64]]] = {}
        self.read = 0

    def add(self, model: str, columns: dict[str, NDArray[np.generic]]) -> None:
        if model not in self.p:
            self.end()
            self.p[model], self.read = [], 0
        elif model != next(reversed(self.p)):
            raise _Unusual
        self.p[model].append(columns.pop("p").astype(np.float64))
        n = len(self.p[model][-1])
        if len(self.p) == 1:
            for name, values in columns.items():
                self.parts.setdefault(name, []).append(values)
        else:
            for name, values in columns.items():
                if not np.array_equal(self.whole[name][self.read : self.read + n], values):
                    raise _Unusual
        self.read += n

    def end(self) -> None:
        """The last model is complete."""
        if len(self.p) == 1:
            self.whole = {name: np.concatenate(parts) for name, parts in self.parts.items()}
            self.parts = {}
        if self.p and self.read != len(self.whole["row"]):
            raise _Unusual

    def aligned(self, names: NDArray[np.object_]) -> Aligned:
        self.end()
        rows = self.whole["row"].astype(np.int64)
        order: slice | Ints = slice(None)
        if (np.diff(rows) <= 0).any():
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
            if (np.diff(rows) == 0).any():
                raise _Unusual
        p = {}
        for model in list(self.p):  # one model twice at a time
            p[model] = np.concatenate(self.p.pop(model))[order]
        lists = self.whole[LIST][order].astype(np.int64) if LIST in self.whole else None
        users = names[self.whole["user"][order].astype(np.int64)]
        return Aligned(users, self.whole["y"][order].astype(np.float64), p, lists, rows)


class _Reader:
    """Reads a file in pieces."""

    def __init__(self, file: parquet.ParquetFile) -> None:
        self._file = file
        self._seeds: dict[int, _Rows] = {}
        self._users = pa.array([], pa.string())
        self._tasks: set[str] = set()

    def read(self) -> PredictionTable | None:
        names = [*SCHEMA.names, *([LIST] if LIST in self._file.schema_arrow.names else [])]
        try:
            for batch in self._file.iter_batches(_AT_ONCE, columns=names):
                self._add(batch)
            if len(self._tasks) != 1:
                return None
            users = self._users.to_numpy(zero_copy_only=False)
            seeds = {seed: self._seeds.pop(seed).aligned(users) for seed in list(self._seeds)}
            return PredictionTable(seeds, self._tasks.pop())
        except _Unusual:
            return None

    def _add(self, batch: pa.RecordBatch) -> None:
        if any(column.null_count for column in batch.columns):
            raise _Unusual
        named = dict(zip(batch.schema.names, batch.columns, strict=True))
        self._tasks |= set(named["task"].unique().to_pylist())
        y, p = named["y"].to_numpy(), named["p"].to_numpy()
        if not (((y == 0) | (y == 1)).all() and ((p >= 0) & (p <= 1)).all()):
            raise _Unusual
        columns = {"user": self._codes(named["user"]), "row": named["row"].to_numpy()}
        columns |= {"y": y, "p": p}
        if LIST in named:
            columns[LIST] = named[LIST].to_numpy()
        models = named["model"].indices.to_numpy()
        seeds = named["seed"].to_numpy()
        changes = np.flatnonzero((np.diff(models) != 0) | (np.diff(seeds) != 0)) + 1
        for start, stop in zip([0, *changes], [*changes, len(models)], strict=True):
            model = named["model"].dictionary[int(models[start])].as_py()
            part = {name: values[start:stop] for name, values in columns.items()}
            self._seeds.setdefault(int(seeds[start]), _Rows()).add(model, part)

    def _codes(self, users: pa.DictionaryArray) -> NDArray[np.int32]:
        """A number for each user, the same in all pieces."""
        words = users.dictionary.cast(pa.string())
        new = words.filter(pc.invert(pc.is_in(words, value_set=self._users)))
        if len(new):
            self._users = pa.concat_arrays([self._users, new])
        numbers = pc.index_in(words, value_set=self._users).to_numpy(zero_copy_only=False)
        codes: NDArray[np.int32] = numbers.astype(np.int32)[users.indices.to_numpy()]
        return codes
