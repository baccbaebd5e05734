"""Raw rows given by a user, from a data frame or a file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray

from metaselector.common.errors import DataError, nearest
from metaselector.data.interactions import Ints
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.raw.columns import RawBlock
from metaselector.data.raw.frames import frame_columns, frame_names


@dataclass(frozen=True)
class RawRows:
    """Raw rows from a data frame or a file.

    Attributes:
        source: name for messages: ``history``, or the file.
        names: column names, as in the files of the data set.
        blocks: the rows, with at least the required columns; values may be text.
        numbers: int64 ``[n]``, which rows of a larger log these are, if they are a part of one.
    """

    source: Path
    names: tuple[str, ...]
    blocks: Sequence[RawBlock]
    numbers: Ints | None = None

    @classmethod
    def of_frame(cls, encoder: FittedEncoder, frame: pd.DataFrame, source: Path) -> Self:
        """Take the rows of a data frame; messages count them from 1.

        Raises:
            DataError: a required column occurs twice or mixes types.
        """
        columns = frame_columns(frame, source, encoder.rows.column_names)
        lines = np.arange(1, len(frame) + 1)
        blocks = (RawBlock(source, lines, columns),) if len(frame) else ()
        return cls(source, tuple(frame_names(frame)), blocks)

    def __len__(self) -> int:
        return sum(len(block.lines) for block in self.blocks)

    def select(self, chosen: NDArray[np.bool_]) -> Self:
        """The rows marked in `chosen` ``[n]``."""
        ends = np.cumsum([len(block.lines) for block in self.blocks])
        marks = np.split(chosen, ends[:-1]) if self.blocks else []
        blocks = tuple(
            block._replace(
                lines=block.lines[mark],
                columns={n: c.filter(pa.array(mark)) for n, c in block.columns.items()},
            )
            for block, mark in zip(self.blocks, marks, strict=True)
            if mark.any()
        )
        numbers = None if self.numbers is None else self.numbers[chosen]
        return replace(self, blocks=blocks, numbers=numbers)

    def without_rows(self) -> Self:
        """The same columns without rows."""
        return replace(self, blocks=(), numbers=None)

    def with_user(self, column: str, user: str) -> Self:
        """Assign all rows to one user, in the new column `column`."""
        blocks = tuple(
            block._replace(columns={**block.columns, column: pa.array([user] * len(block.lines))})
            for block in self.blocks
        )
        return replace(self, names=(*self.names, column), blocks=blocks)

    def require(self, encoder: FittedEncoder, *, labelled: bool) -> None:
        """Raise :class:`DataError` unless all required columns are present.

        Features that are unknown at prediction are not required.
        """
        rows = encoder.rows
        ids = () if rows.tabular else ("item", "timestamp")
        label = (rows.tasks[0].name,) if labelled else ()
        known = [one.name for one in rows.features if not one.unknown_at_prediction]
        for name in ("user", *ids, *label, *known):
            column = rows.column(name)
            if column not in self.names:
                problem = "there is no such column"
                if rows.sampled and name in label:
                    problem += "; the training log has only positives, so add a column that marks "
                    problem += "positives with 1 and negatives with 0"
                else:
                    problem += f"; {nearest(column, self.names)}"
                raise DataError(self.source, problem, column=column)
