"""Facts about test rows that are known before their labels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from metaselector.config import SplitConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Floats, Ints
from metaselector.data.microseconds import DAY
from metaselector.data.splitting.windows import boundaries, window_rows

USER_FACTS = ("history_rows", "rows_per_active_day", "drift")
FACTS = (*USER_FACTS, "item_train_rows")


def row_facts(
    dataset: EncodedDataset, split: SplitConfig, rows: Ints | None = None
) -> pd.DataFrame:
    """Facts about test rows and their users; none depends on a test label.

    Args:
        rows: int64 ``[n]``, the positions of the test rows; by default the whole window.

    Returns:
        One line per test row: ``row`` (position in the source file), ``user``, and

        * ``history_rows``: the user's rows before the test window;
        * ``rows_per_active_day``: these rows divided by the number of days (UTC) with at least one;
        * ``drift``: absolute change in the user's share of positives from *train* to *valid*;
        * ``item_train_rows``: rows of the item in *train*, of all users.

        A fact is nan if the user has no rows in a window that it needs.
    """
    offsets, users, lists = dataset.user_offsets, dataset.users, dataset.list_offsets
    position = np.arange(len(dataset))
    in_train = position < boundaries(offsets, split.train, None, lists)[users]
    before_test = position < boundaries(offsets, split.valid, None, lists)[users]
    day = np.asarray(dataset.timestamps) // DAY
    first_of_day = np.ones(len(dataset), dtype=bool)  # a user's rows are sorted by time
    first_of_day[1:] = (np.diff(day) != 0) | (np.diff(users) != 0)

    def per_user(values: NDArray[Any]) -> Floats:
        sums = np.bincount(users, weights=values, minlength=dataset.num_users)
        return sums.astype(np.float64)

    history = per_user(before_test)
    shares = [
        _ratio(per_user(window * dataset.labels), per_user(window))
        for window in (in_train, before_test & ~in_train)
    ]
    item_rows = np.bincount(dataset.items[in_train], minlength=len(dataset.item_cells))
    test = window_rows(offsets, split.valid, 100, lists) if rows is None else rows
    owner = users[test]
    names = np.asarray(dataset.user_names, dtype=object)
    return pd.DataFrame(
        {
            "row": dataset.source_rows[test],
            "user": pd.array(names[owner], dtype="str"),
            "history_rows": history[owner].astype(np.int64),
            "rows_per_active_day": _ratio(history, per_user(before_test & first_of_day))[owner],
            "drift": np.abs(shares[1] - shares[0])[owner],
            "item_train_rows": item_rows[dataset.items[test]],
        }
    )


def _ratio(above: Floats, below: Floats) -> Floats:
    """``above / below``, nan where `below` is 0."""
    return np.divide(above, below, out=np.full(len(below), np.nan), where=below > 0)
