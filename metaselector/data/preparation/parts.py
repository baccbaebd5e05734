"""Settings of the encoding, and the split that it implies: *train* rows and ends of histories."""

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
        places: float64 ``[U]``, :func:`~metaselector.data.splitting.windows.user_places` by user
            code; None if each user's rows are split.
        histories: whether rows have a history.
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
        """Split the users, given their names by code, or each user's rows if the seed is None."""
        places = None if cold_seed is None else user_places(users, cold_seed)
        return cls(windows, places, histories)

    @property
    def named(self) -> NDArray[np.bool_] | bool:
        """Which users, by code, have their own id: those that early base models are trained on.

        Cold users have no id of their own, so meta-training users must not have one either.
        """
        return True if self.places is None else self.places < self.windows.early

    def train_ends(self, records: StagedRows, offsets: Ints) -> Ints:
        """End of *train* in the rows of each user, int64 ``[U]``.

        Args:
            records: all rows of the users.
            offsets: int64 ``[U + 1]``, start of each user's rows.
        """
        if self.places is None:
            return boundaries(offsets, self.windows.train)
        inside = self.places[records["user"][offsets[:-1]]] < self.windows.train
        return np.where(inside, offsets[1:], offsets[:-1])

    def history_ends(self, offsets: Ints) -> Ints:
        """End of the rows of each user that enter histories, int64 ``[U]``.

        Cold users' histories are cut when they are read, because the cut depends on the support
        set.
        """
        return boundaries(offsets, self.windows.valid) if self.places is None else offsets[1:]


HISTORY_LENGTH = 20


@dataclass(frozen=True)
class Settings:
    """How a table is encoded.

    Attributes:
        windows: ends of the windows, in percent of each user's rows or of the users.
        cold_seed: random seed of the split of users; None splits each user's rows instead.
        label_threshold: threshold of tasks that set none.
        history_length: positives kept in the history field.
        min_count: words in fewer rows of *train* count as unseen.
        drop_short_users: drop users with a single row instead of raising an error.
        min_user_rows: drop users with fewer rows, repeats not counted.
    """

    windows: Windows = DEFAULT_WINDOWS
    label_threshold: float = 4.0
    history_length: int = HISTORY_LENGTH
    min_count: int = 1
    drop_short_users: bool = False
    min_user_rows: int = 1
    cold_seed: int | None = None


DEFAULT_SETTINGS = Settings()
