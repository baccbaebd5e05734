"""On real data, with the default settings: however few rows a user has, adapting does no harm."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import log_loss

from metaselector import MetaSelector

THRESHOLD = 4


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::metaselector.common.errors.UnknownWarning")  # rare films
def test_adapting_on_any_number_of_rows_helps_known_users(
    fetched: Callable[[str], Path], tmp_path: Path
) -> None:
    """Every user's last tenth of rows, which no training has seen, predicted as users would."""
    raw = fetched("movielens-100k")
    model = MetaSelector(directory=tmp_path / "run", threads=1).fit("movielens-100k", data=raw)
    rows = interactions(raw)
    place = rows.groupby("user").cumcount()
    later = place >= np.floor(0.9 * rows.groupby("user")["user"].transform("size"))
    histories, candidates = rows[~later], rows[later]
    y = candidates["rating"] >= THRESHOLD
    losses = {}
    for n in (0, 1, 3, 5, 40):
        found = model.predict(histories, candidates, support_size=n, allow_unknown=True)
        losses[n] = log_loss(y, found["probability"])
    gains = {n: losses[0] - losses[n] for n in losses if n}
    assert min(gains.values()) > 0.0005, gains
    assert gains[40] > gains[5] > gains[1], gains


def interactions(raw: Path) -> pd.DataFrame:
    """All rows in time order, as the data set's own file has them."""
    columns = ["user", "item", "rating", "timestamp"]
    atomic, official = raw / "ml-100k.inter", raw / "ml-100k" / "u.data"
    file = pd.read_csv(
        atomic if atomic.exists() else official,
        sep="\t",
        names=columns,
        header=0 if atomic.exists() else None,
        dtype={"user": str, "item": str},
    )
    return file.sort_values("timestamp", kind="stable", ignore_index=True)
