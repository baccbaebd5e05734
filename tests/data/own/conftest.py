"""A user's own log, its schema, and the expected result of reading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from metaselector.common.errors import UserError
from metaselector.data.interactions import InteractionTable
from metaselector.data.own.own_log import read_log

SCHEMA: dict[str, Any] = {
    "version": 1,
    "interactions": "log.csv",
    "user": "who",
    "item": "what",
    "time": {"column": "when", "unit": "seconds"},
    "labels": {"like": {"column": "stars", "threshold": 4}, "bought": {"column": "bought"}},
    "features": {"price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}, "device": {}},
}
HEADER = "who,what,when,stars,bought,price,tags,device,other\n"
ROWS = [
    'ann,"a ""b"", c",881250949,5,1,2.5,x|y,phone,?',
    "4294967296123,2,1700000000.75,-1.5,,,,,?",
    "ann,2,0,4,0,nan,y,phone,?",
]
LOG = HEADER + "\n".join(ROWS) + "\n"


def write(folder: Path, log: str | bytes | None = LOG, **changes: Any) -> Path:
    """Write a changed schema and its interactions; return the schema's path."""
    schema = {key: value for key, value in {**SCHEMA, **changes}.items() if value is not None}
    if log is not None:
        raw = log if isinstance(log, bytes) else log.encode()
        (folder / schema["interactions"]).write_bytes(raw)
    path = folder / "shop.yaml"
    path.write_text(yaml.safe_dump(schema, sort_keys=False))
    return path


def problem(schema: Path, data: Path | None = None) -> str:
    """The one-line error of reading everything, without the folder."""
    with pytest.raises(UserError) as error:
        len(read_log(schema, data).interactions)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(f"{schema.parent}/")


def check(table: InteractionTable, first_line: int = 2) -> None:
    frame = table.interactions
    assert frame["user"].tolist() == ["ann", "4294967296123", "ann"]
    assert frame["item"].tolist() == ['a "b", c', "2", "2"]
    assert frame["timestamp"].tolist() == [881250949, 1700000000.75, 0]
    assert frame["line"].tolist() == [first_line, first_line + 1, first_line + 2]
    np.testing.assert_equal(frame["like"].to_numpy(), [5, -1.5, 4])
    np.testing.assert_equal(frame["bought"].to_numpy(), [1, np.nan, 0])
    np.testing.assert_equal(frame["price"].to_numpy(), [2.5, np.nan, np.nan])
    assert frame["tags"].fillna("").tolist() == ["x|y", "", "y"]
    assert frame["device"].fillna("").tolist() == ["phone", "", "phone"]
    assert "other" not in frame
