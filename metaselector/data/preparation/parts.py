"""What of staged records is *train*, and where histories end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.preparation.staging import StagedRows
from metaselector.data.splitting.windows import DEFAULT_WINDOWS, Windows, boundaries, user_places


@dataclass(frozen=True)
class Parts:
    """A split of each user's rows, or of the users.

    Attributes:
        windows: percentages of each user's rows, or of the users.
        places: float64, the :func:`~metaselector.data.splitting.windows.user_places` of users by
            code; None where their rows are split.
        histories: whether rows have one.
    """

    windows: Windows
    places: NDArray[np.float64] | None = None
    histories: bool = True

    @classmethod
    def of(
        cls,
        windows: Windows,
        users: Sequence[str],
        cold_seed: int | None,
        histories: bool = True,
    ) -> Self:
        """`users` are the strings of the codes; a seed of None splits their rows."""
        places = None if cold_seed is None else user_places(users, cold_seed)
        return cls(windows, places, histories)

    @property
    def named(self) -> NDArray[np.bool_] | bool:
        """Users, by code, with an id of their own: those whom early base models are trained on.

        Cold users have none when they come, so those meta-trained on must not have one either.
        """
        return True if self.places is None else self.places < self.windows.early

    def train_ends(self, records: StagedRows, offsets: Ints) -> Ints:
        """Where *train* ends in the rows of each of the users, int64 ``[U]``.

        Args:
            records: of whole users.
            offsets: int64 ``[U + 1]``, where their rows begin.
        """
        if self.places is None:
            return boundaries(offsets, self.windows.train)
        inside = self.places[records["user"][offsets[:-1]]] < self.windows.train
        return np.where(inside, offsets[1:], offsets[:-1])

    def history_ends(self, offsets: Ints) -> Ints:
        """From where on the rows of each user add nothing to histories, int64 ``[U]``.

        Cold users' histories are cut when they are read, because that depends on the support.
        """
        return boundaries(offsets, self.windows.valid) if self.places is None else offsets[1:]


HISTORY_LENGTH = 20


@dataclass(frozen=True)
class Settings:
    """How a table is encoded.

    Attributes:
        windows: in percent of each user's rows, or of the users.
        cold_seed: of the split of users; None splits each user's rows.
        label_threshold: of tasks that have none of their own.
        history_length: positives kept in the history field.
        min_count: words in fewer rows of *train* count as unseen.
        drop_short_users: drop users of a single row instead of refusing them.
    """

    windows: Windows = DEFAULT_WINDOWS
    label_threshold: float = 4.0
    history_length: int = HISTORY_LENGTH
    min_count: int = 1
    drop_short_users: bool = False
    cold_seed: int | None = None


DEFAULT_SETTINGS = Settings()
