"""Given labels are checked by the same rules as training data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError, LabelWarning
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import InteractionTable, Task, nothing_known
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_labels import labels_of, warn_labels
from metaselector.data.preparation.raw_rows import RawRows

HISTORY = Path("history")
TASKS = (
    Task("clicked", 1.0, flag=True), Task("rating", after="clicked"), Task("again", 1.0, "rating"),
)  # fmt: skip


@pytest.fixture(scope="module")
def encoder() -> FittedEncoder:
    table = InteractionTable(
        "shop", Path("log.csv"), lambda: iter(()), nothing_known("user"),
        lambda _: nothing_known("item"), tasks=TASKS, columns={"again": "more"},
    )  # fmt: skip
    schema = Schema(
        dataset="shop", label_threshold=4, history_length=2, windows=(70, 80, 90), fields=()
    )
    return FittedEncoder.of(schema, table, [])


def given(encoder: FittedEncoder, **labels: Any) -> RawRows:
    frame = pd.DataFrame({"user": "u", "item": "i", "timestamp": 1, **labels})
    return RawRows.of_frame(encoder, frame, HISTORY)


def labels(encoder: FittedEncoder, **columns: Any) -> list[list[float]]:
    (block,) = given(encoder, **columns).blocks
    return labels_of(encoder, block).tolist()


@pytest.mark.parametrize(
    "clicked", [[1, 0], [True, False], ["true", "0"], [1.0, 0.0], ["1.0", "0"]]
)
@pytest.mark.parametrize("rating", [[5, None], [5.0, 3.0], ["5", ""], [np.float32(5), np.nan]])
def test_types(encoder: FittedEncoder, clicked: list[Any], rating: list[Any]) -> None:
    found = labels(encoder, clicked=clicked, rating=rating, more=["1", None])
    np.testing.assert_equal(found, [[1, 5, 1], [0, np.nan, np.nan]])


def test_later_tasks_may_be_left_out(encoder: FittedEncoder) -> None:
    np.testing.assert_equal(
        labels(encoder, clicked=[1, 0]), [[1, np.nan, np.nan], [0] + [np.nan] * 2]
    )


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"clicked": [1, 5]}, r"history:2 \(column clicked\): 5 is not 0 or 1"),
        ({"clicked": ["1", "yes"]}, r"history:2 \(column clicked\): 'yes' is not 0 or 1"),
        ({"clicked": [1, np.nan]}, r"history:2 \(column clicked\): is empty"),
        ({"clicked": [1, np.inf]}, r"history:2 \(column clicked\): inf"),
        ({"clicked": [1, 1], "rating": ["5", "x"]}, r"history:2 \(column rating\): 'x'"),
        ({"clicked": [1, 0], "rating": [5, 4]}, r"history:2 \(column rating\): is positive, but"),
        (
            {"clicked": [1, 1], "rating": [5, 1], "more": [0, 1]},
            r"history:2 \(column more\): is positive, but column 'rating', which must be",
        ),
    ],
)
def test_what_is_wrong_is_named(
    encoder: FittedEncoder, columns: dict[str, Any], message: str
) -> None:
    with pytest.raises(DataError, match=message):
        labels(encoder, **columns)


def test_warns_of_zeros_and_ones_instead_of_ratings(encoder: FittedEncoder) -> None:
    """All rows would be negative."""
    wrong = given(encoder, clicked=[1, 1, 1], rating=[1, 0, None])
    with pytest.warns(LabelWarning, match=r"history \(column rating\): .*positives are 4 or more"):
        warn_labels(encoder, HISTORY, wrong.blocks)
    for rating in ([1, 1, 1], [0, 1, 4], [None] * 3):
        warn_labels(encoder, HISTORY, given(encoder, clicked=1, rating=rating).blocks)
    warn_labels(encoder, HISTORY, given(encoder, clicked=[1, 0]).blocks)
    warn_labels(encoder, HISTORY, ())
