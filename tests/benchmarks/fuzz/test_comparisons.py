"""Comparisons: equal results are equal, and planted differences are found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pandas as pd
import pytest

from benchmarks.fuzz import command_line, own_logs, preparation, rewritings, saved
from benchmarks.fuzz.logs import COLUMNS, START, Log, random_log
from benchmarks.fuzz.target import Different
from metaselector.common.errors import UserError

PLAIN = Log(
    [
        [f"u{r % 2}", f"i{r % 3}", str(START + r), str(r % 2), "4", 'a "b", c', "1.50", "x|y"]
        for r in range(6)
    ],
    {
        "user": "user",
        "item": "item",
        "time": {"column": "at", "unit": "seconds"},
        "labels": {"clicked": {"column": "liked"}},
        "features": {"device": {}, "price": {"kind": "numeric"}, "tags": {"kind": "multivalued"}},
    },
)


@pytest.mark.parametrize("name", rewritings.REWRITINGS)
def test_every_rewriting_means_the_same(name: str, tmp_path: Path) -> None:
    rewritings._save(PLAIN, tmp_path / rewritings.PLAIN)
    rewritings.REWRITINGS[name](PLAIN, tmp_path / rewritings.OTHER)
    rewritings._compare(tmp_path)
    found = rewritings._read(tmp_path / rewritings.OTHER)
    assert isinstance(found, pd.DataFrame)
    assert found["user"].tolist() == PLAIN.column("user")
    assert found["device"].tolist() == PLAIN.column("device")


@pytest.mark.parametrize("column", ["user", "item", "at", "liked", "device", "price", "tags"])
def test_another_value_is_found(column: str, tmp_path: Path) -> None:
    rows = [[*row] for row in PLAIN.rows]
    rows[4][COLUMNS.index(column)] = "1" if column == "price" else str(START - 5)
    if column == "liked":
        rows[4][COLUMNS.index(column)] = "1"
    rewritings._save(PLAIN, tmp_path / rewritings.PLAIN)
    rewritings._save(replace(PLAIN, rows=rows), tmp_path / rewritings.OTHER)
    with pytest.raises(Different, match="is read as"):
        rewritings._compare(tmp_path)


def test_a_refusal_of_one_is_found() -> None:
    frame, error = pd.DataFrame({"user": ["a"]}), UserError("no")
    with pytest.raises(UserError):
        rewritings.require_same(error, error)
    for one, other in ((frame, error), (error, frame)):
        with pytest.raises(Different, match=r"refused \(no\)"):
            rewritings.require_same(one, other)
    more = pd.concat([frame, frame], ignore_index=True)
    with pytest.raises(Different, match="1 rows, in another format 2 rows"):
        rewritings.require_same(frame, more)


def test_missing_is_missing_however_it_is_written() -> None:
    one = pd.DataFrame({"a": [None, ""], "line": [1, 2]}, dtype=object)
    rewritings.require_same(one, pd.DataFrame({"a": [np.nan, None], "line": [7, 8]}, dtype=object))


def test_a_label_that_the_file_does_not_say_is_found(tmp_path: Path) -> None:
    log = random_log(Random(2), users=3, rows=12, odd=0.0)
    log = Log(log.rows, {**log.schema, "labels": {"liked": {"column": "liked"}}})
    log.schema.pop("negatives", None)
    log.save(tmp_path / preparation.GIVEN, log.text().encode(), "log.csv")
    data = preparation._prepared(tmp_path / preparation.GIVEN)
    assert not isinstance(data, UserError)
    read = preparation._log(tmp_path / preparation.GIVEN)
    preparation._require_sound(data)
    preparation._require_labels(data, read)
    labels = np.array(data.labels)
    labels[5] = 1 - labels[5]
    wrong = replace(data, task_labels=labels[:, None])
    with pytest.raises(Different, match="user u0 has labels"):
        preparation._require_labels(wrong, read)
    with pytest.raises(Different, match="order of time"):
        preparation._require_sound(replace(data, timestamps=np.array(data.timestamps)[::-1]))


@pytest.mark.parametrize("text", ["a\x1b[31mb", "a\rb", "\u202ea", "x" * 5000])
def test_what_a_terminal_would_obey_is_found(text: str) -> None:
    command_line._require_harmless("ünï 名前 │ 🎬\n\ta")
    with pytest.raises(Different):
        command_line._require_harmless(f"fine\nerror: {text}")


@pytest.mark.filterwarnings("ignore")
def test_probabilities_are_probabilities(world: Path) -> None:
    files = world / saved.HISTORY, world / saved.CANDIDATES
    table = saved.predictions(saved._trained(world), *files)
    assert len(table) == len(pd.read_csv(files[1]))
    for value in (np.nan, -0.1, 1.5):
        with pytest.raises(Different, match="probability is"):
            saved.require_probabilities(table.assign(probability=value))


def test_a_draft_of_a_log_is_read(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(PLAIN.text(), encoding="utf-8")
    own_logs._draft(tmp_path)
