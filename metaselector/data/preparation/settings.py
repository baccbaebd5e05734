"""How a table is encoded."""

from __future__ import annotations

from dataclasses import dataclass

from metaselector.data.splitting.windows import DEFAULT_WINDOWS, Windows

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
