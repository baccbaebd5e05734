"""Settings of the encoding, and the split that it implies: *train* rows and ends of histories."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray

from metaselector.data.interactions import Ints
from metaselector.data.preparation.lists import list_offsets
from metaselector.data.preparation.staging_types import StagedRows
from metaselector.data.splitting.dates import Dates, ends_at
from metaselector.data.splitting.windows import DEFAULT_WINDOWS, Windows, boundaries, user_places


@dataclass(frozen=True)
class Parts:
    """A split of each user's rows, of the users, or of all rows at dates.

    Attributes:
        windows: percentages of each user's rows, or of the users.
        places: float64 ``[U]``, :func:`~metaselector.data.splitting.windows.user_places` by user
            code; None if each user's rows are split.
        histories: whether rows have a history.
        dates: ends of the windows of all users; None if rows are not split by date.
    """

    windows: Windows
    places: NDArray[np.float64] | None = None
    histories: bool = True
    dates: Dates | None = None

    @classmethod
    def of(
        cls,
        windows: Windows,
        users: Sequence[str],
        cold_seed: int | None,
        histories: bool = True,
        dates: Dates | None = None,
    ) -> Self:
        """Split at dates if given, the users if there is a seed, or each user's rows.

        Args:
            windows: percentages of each user's rows, or of the users.
            users: names by code.
            cold_seed: random seed of the split of users.
            histories: whether rows have a history.
            dates: ends of the windows of all users.
        """
        places = None if cold_seed is None else user_places(users, cold_seed)
        return cls(windows, places, histories, dates)

    @property
    def named(self) -> NDArray[np.bool_] | bool:
        """Which users, by code, have their own id: those that early base models are trained on.

        Cold users have no id of their own, so meta-training users must not have one either.
        """
        return True if self.places is None else self.places < self.windows.early

    @property
    def splits_ranks(self) -> bool:
        """Whether each user's rows are split by their order alone."""
        return self.places is None and self.dates is None

    def ends(self, records: StagedRows, offsets: Ints, window: Literal["train", "valid"]) -> Ints:
        """End of a window in the rows of each user, int64 ``[U]``.

        Args:
            records: all rows of the users.
            offsets: int64 ``[U + 1]``, start of each user's rows.
            window: the window; those before it are included.
        """
        if self.dates is not None:
            return ends_at(offsets, records["time"], getattr(self.dates, window))
        percent = getattr(self.windows, window)
        if self.places is None:
            return boundaries(offsets, percent, None, list_offsets(records))
        inside = self.places[records["user"][offsets[:-1]]] < percent
        return np.where(inside, offsets[1:], offsets[:-1])

    def history_ends(self, records: StagedRows, offsets: Ints) -> Ints:
        """End of the rows of each user that enter histories, int64 ``[U]``.

        New users' histories are cut when they are read, because the cut depends on the support
        set: those of cold users, and of users without a row before the date that ends *valid*.
        Arguments are those of :meth:`ends`.
        """
        if self.places is not None:
            return offsets[1:]
        ends = self.ends(records, offsets, "valid")
        return ends if self.dates is None else np.where(ends > offsets[:-1], ends, offsets[1:])


HISTORY_LENGTH = 20


@dataclass(frozen=True)
class Settings:
    """How a table is encoded.

    Attributes:
        windows: ends of the windows, in percent of each user's rows, of the users or of all rows.
        cold_seed: random seed of the split of users; None splits rows instead.
        by_date: split the rows of all users at the same dates.
        dates: these dates, if `by_date`; None finds those that end the percentages of all rows.
        label_threshold: threshold of tasks that set none.
        history_length: positives kept in the history field.
        min_count: words in fewer rows of *train* count as unseen.
        drop_short_users: drop users with a single row instead of raising an error.
        min_user_rows: drop users with fewer rows, repeats not counted.
        min_user_lists: drop users with fewer lists, repeats not counted.
    """

    windows: Windows = DEFAULT_WINDOWS
    label_threshold: float = 4.0
    history_length: int = HISTORY_LENGTH
    min_count: int = 1
    drop_short_users: bool = False
    min_user_rows: int = 1
    min_user_lists: int = 1
    cold_seed: int | None = None
    by_date: bool = False
    dates: Dates | None = None


DEFAULT_SETTINGS = Settings()
