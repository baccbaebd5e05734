"""Labels that require an earlier label to be positive."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from metaselector.common.errors import ConfigError
from metaselector.data.interactions import Task
from metaselector.data.own.own_log import read_log

from .conftest import SCHEMA, problem, write

AFTER = {
    "like": {"column": "stars", "threshold": 4},
    "bought": {"column": "bought", "after": "like"},
    "again": {"column": "again", "after": "bought"},
}


def funnel(folder: Path, *rows: str) -> Path:
    log = "who,what,when,stars,bought,again\n" + "".join(f"ann,{row}\n" for row in rows)
    return write(folder, log, labels=AFTER, features=None)


def test_labels_after_another(tmp_path: Path) -> None:
    """A 0 is missing if the user had no choice."""
    table = read_log(funnel(tmp_path, "1,1,5,1,1", "2,2,5,0,0", "3,3,2,0,0", "4,4,4,,", "5,5,1,,"))
    assert table.tasks == (
        Task("like", 4.0),
        Task("bought", 1.0, "like", flag=True),
        Task("again", 1.0, "bought", flag=True),
    )
    frame, nan = table.interactions, np.nan
    np.testing.assert_equal(frame["bought"].to_numpy(), [1, 0, nan, nan, nan])
    np.testing.assert_equal(frame["again"].to_numpy(), [1, nan, nan, nan, nan])


def test_a_threshold_after_another_where_nothing_is_missing(tmp_path: Path) -> None:
    """Arrow returns such numbers as read-only memory."""
    labels = {
        "bought": {"column": "bought"},
        "like": {"column": "stars", "threshold": 4, "after": "bought"},
    }
    log = "who,what,when,stars,bought\nann,1,1,5,1\nann,2,2,2,0\n"
    frame = read_log(write(tmp_path, log, labels=labels, features=None)).interactions
    np.testing.assert_equal(frame["like"].to_numpy(), [5, np.nan])


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ("2,2,3,1,0", "(column bought): is positive, but column 'stars', which must be positive"),
        ("2,2,5,0,1", "(column again): is positive, but column 'bought', which must be positive"),
        ("2,2,5,,1", "(column again): is positive, but column 'bought', which must be positive"),
    ],
)
def test_a_positive_after_none_is_an_error(tmp_path: Path, row: str, said: str) -> None:
    assert problem(funnel(tmp_path, "1,1,5,1,1", row)).startswith(f"log.csv:3 {said}")


@pytest.mark.parametrize(
    ("name", "after", "said"),
    [
        ("like", "bought", "labels.like.after: 'bought' is not an earlier label; remove it"),
        ("bought", "lik", "labels.bought.after: 'lik' is not an earlier label; did you mean"),
        ("bought", "bought", "labels.bought.after: 'bought' is not an earlier label"),
    ],
)
def test_after_names_an_earlier_label(tmp_path: Path, name: str, after: str, said: str) -> None:
    labels = {**SCHEMA["labels"], name: {"column": "x", "after": after}}
    with pytest.raises(ConfigError) as error:
        read_log(write(tmp_path, labels=labels))
    assert said in str(error.value)
