"""Files are predicted some users at a time, as if all were predicted at once."""

from __future__ import annotations

import errno
import tempfile
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.common.errors import CandidateWarning, DataError, UnknownWarning, UserError
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.data.raw import file
from metaselector.data.raw.spill import SpilledBlocks
from metaselector.inference import prediction_stream
from metaselector.inference.adapted_users import AdaptedUsers
from metaselector.inference.kept_predictions import KeptPredictions
from metaselector.inference.prediction_files import predicted_table, write_rows
from metaselector.inference.prediction_stream import predicted_tables
from metaselector.inference.trained import TrainedModel

from .conftest import Untrained

MADE = ("probability", "weight_lr", "weight_fm")
Files = tuple[Path, Path]


def rows_of(users: int, per_user: int, start: int, seed: int) -> pd.DataFrame:
    """Rows of users in any order; every third user and item is new, and users from 40 on."""
    draw = np.random.default_rng(seed)
    n = users * per_user
    user, item = np.repeat(np.arange(users), per_user), draw.integers(40, size=n)
    frame = pd.DataFrame(
        {
            "user": [f"u{u}" if u % 3 and u < 40 else f"new{u}" for u in user],
            "item": [f"i{i}" if i % 3 else f"odd{i}" for i in item],
            "timestamp": start + draw.integers(10**6, size=n),
            "rating": draw.integers(1, 6, size=n),
        }
    )
    return frame.sample(frac=1, random_state=seed)


def write(frame: pd.DataFrame, path: Path) -> Path:
    """Write in the format of the file's suffix."""
    if path.suffix == ".parquet":
        frame.to_parquet(path, row_group_size=17)
    elif path.suffix == ".jsonl":
        frame.to_json(path, orient="records", lines=True)
    else:
        frame.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def files_of(folder: Path, users: int, suffix: str = ".csv") -> Files:
    history = rows_of(users, 6, 890_000_000, 0)
    asked = rows_of(users + 5, 3, 890_900_000, 1).drop(columns="rating").assign(note="a,b")
    return write(history, folder / f"h{suffix}"), write(asked, folder / f"c{suffix}")


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Readers yield a few rows at a time."""
    for name, made in (
        ("text_blocks", partial(file.text_blocks, size=700)),
        ("json_blocks", partial(file.json_blocks, size=900)),
        ("parquet_blocks", partial(file.parquet_blocks, rows=19)),
    ):
        monkeypatch.setattr(file, name, made)


def predicted(
    trained: TrainedModel, history: Path, candidates: Path | None, users: int
) -> tuple[pa.Table, list[str]]:
    """The table, and what is warned of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        table = predicted_table(trained, history, candidates, users=users)
    return table, [f"{one.category.__name__}: {one.message}" for one in caught]


def spy(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Gets the users and rows of each group that is predicted."""
    seen: list[tuple[int, int]] = []
    predict = TrainedModel.predict_quietly

    def noted(model: TrainedModel, history: RawRows, candidates: RawRows) -> Any:
        assert isinstance(history.blocks, tuple)
        assert isinstance(candidates.blocks, tuple)
        blocks = (*history.blocks, *candidates.blocks)
        users = {name for block in blocks for name in block.columns["user"].to_pylist()}
        seen.append((len(users), len(history) + len(candidates)))
        return predict(model, history, candidates)

    monkeypatch.setattr(TrainedModel, "predict_quietly", noted)
    return seen


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet", ".jsonl"])
@pytest.mark.parametrize("popular", [False, True])
def test_users_at_a_time_change_nothing(
    untrained: Untrained, tmp_path: Path, suffix: str, popular: bool
) -> None:
    history, candidates = files_of(tmp_path, 23, suffix)
    given = history, None if popular else candidates
    table, told = predicted(untrained.trained, *given, users=10**6)
    assert table.column_names[-3:] == list(MADE)
    assert len(table) == (23 * 10 if popular else 28 * 3)
    assert any("unknown to the model: 8 of 23 users ('new" in one for one in told)
    for users in (1, 7):
        found, told_then = predicted(untrained.trained, *given, users=users)
        assert told_then == told
        assert found.schema == table.schema
        assert found["user"].to_pylist() == table["user"].to_pylist()
        frames = tuple(one.to_pandas().astype({"user": str, "item": str}) for one in (found, table))
        if popular:  # equal items may change places when numbers are rounded
            assert all(p.is_monotonic_decreasing for _, p in frames[0].groupby("user")[MADE[0]])
            frames = tuple(frame.sort_values(["user", "item"]) for frame in frames)
        names = [name for name in table.column_names if name not in MADE]
        assert frames[0][names].to_dict("list") == frames[1][names].to_dict("list")
        np.testing.assert_allclose(*(frame[[*MADE]] for frame in frames), rtol=0, atol=1e-6)
    assert len(np.unique(table["probability"])) > 50


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_at_once_they_are_those_of_python(untrained: Untrained, tmp_path: Path) -> None:
    history, candidates = files_of(tmp_path, 23)
    table, _ = predicted(untrained.trained, history, candidates, users=10**6)
    frames = pd.read_csv(history), pd.read_csv(candidates)
    expected = AdaptedUsers(untrained.trained, frames[0]).predict(frames[1])
    for name in MADE:
        assert np.array_equal(table[name], expected[name])


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("popular", [False, True])
def test_memory_does_not_grow_with_users(
    untrained: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, popular: bool
) -> None:
    """Four times the users are more groups, not larger ones; all other rows are on disk."""
    seen = spy(monkeypatch)
    check = prediction_stream.check_user_features

    def on_disk(encoder: FittedEncoder, given: Sequence[RawRows]) -> None:
        assert all(isinstance(rows.blocks, SpilledBlocks) for rows in given)
        check(encoder, given)

    monkeypatch.setattr(prediction_stream, "check_user_features", on_disk)
    largest = []
    for users in (20, 80):
        history, candidates = files_of(tmp_path, users)
        before = len(seen)
        predicted(untrained.trained, history, None if popular else candidates, users=8)
        groups = seen[before:]
        assert len(groups) == -(-(users if popular else users + 5) // 8)
        largest.append(tuple(map(max, zip(*groups, strict=True))))
    assert largest[0] == largest[1] == (8, 8 * (6 + (10 if popular else 3)))


def test_many_rows_need_no_more_users(
    untrained: Untrained, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prediction_stream, "ROWS", 20)
    seen = spy(monkeypatch)
    predicted(untrained.trained, *files_of(tmp_path, 20), users=10**6)
    assert max(rows for _, rows in seen) < 20 + 9  # rows of the last user


@pytest.mark.parametrize("users", [1, 10**6])
@pytest.mark.usefixtures("small_blocks")
def test_the_first_mistake_of_the_file_is_named(
    untrained: Untrained, tmp_path: Path, users: int
) -> None:
    """Not that of the first user."""
    history, candidates = files_of(tmp_path, 23)
    frame = pd.read_csv(candidates, dtype=str)
    first = frame["user"].iloc[0]
    place = int(np.flatnonzero(frame["user"] != first)[0])
    again = int(np.flatnonzero(frame["user"] == first)[-1])
    assert 0 < place < again
    frame.loc[[place, again], "timestamp"] = ["soon", "late"]
    write(frame, candidates)
    with pytest.raises(DataError, match=rf"c.csv:{place + 2} \(column timestamp\): 'soon'"):
        predicted(untrained.trained, history, candidates, users)
    lines = history.read_text().splitlines()
    history.write_text("\n".join([*lines, "u1,i1,9\n"]))
    with pytest.raises(DataError, match=rf"h.csv:{len(lines) + 1} .* 3 instead of 4 values"):
        predicted(untrained.trained, history, candidates, users)


def fail_later(error: Exception) -> Callable[..., Any]:
    """The first group is written, the second is not."""
    write_group, calls = KeptPredictions.write, iter(range(9))

    def failing(kept: KeptPredictions, *arguments: Any) -> None:
        if next(calls):
            raise error
        write_group(kept, *arguments)

    return failing


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (OSError(errno.ENOSPC, "full"), UserError, "temporary files cannot be written .*TMPDIR"),
        (OSError(errno.EACCES, "denied"), OSError, "denied"),
        (ValueError("a bug"), ValueError, "a bug"),
    ],
)
def test_an_error_leaves_nothing(
    untrained: Untrained,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    error: Exception,
    expected: type[Exception],
    message: str,
) -> None:
    files = files_of(tmp_path, 23)
    scratch, out = tmp_path / "scratch", tmp_path / "out"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    monkeypatch.setattr(KeptPredictions, "write", fail_later(error))
    with (
        pytest.raises(expected, match=message),
        predicted_tables(untrained.trained, *files, users=7) as tables,
    ):
        write_rows(tables, out / name)
    assert not list(scratch.iterdir())
    assert not out.exists()


def test_a_group_without_candidates_tells_whether_items_repeat(
    untrained: Untrained, tmp_path: Path
) -> None:
    """User b meets i1 twice, so that user a may meet it again too."""
    history = {"user": list("abb"), "item": ["i1"] * 3, "timestamp": [1, 2, 3], "rating": 5}
    asked = {"user": ["a"], "item": ["i1"], "timestamp": [9]}
    for rows, told in ((3, False), (2, True)):
        past = write(pd.DataFrame(history)[:rows], tmp_path / "h.csv")
        candidates = write(pd.DataFrame(asked), tmp_path / "c.csv")
        for users in (1, 10):
            _, found = predicted(untrained.trained, past, candidates, users)
            assert any(one.startswith(CandidateWarning.__name__) for one in found) == told


def test_users_of_other_files(untrained: Untrained, tmp_path: Path) -> None:
    """No user has a history in the first call; no history has a user in the second."""
    history = write(rows_of(9, 2, 890_000_000, 0), tmp_path / "h.csv")
    asked = {"user": ["x", "y"], "item": "i1", "timestamp": 900_000_000}
    candidates = write(pd.DataFrame(asked), tmp_path / "c.csv")
    for users in (1, 10):
        _, told = predicted(untrained.trained, history, candidates, users)
        (apart,) = (one for one in told if "not adapted to any user" in one)
        assert apart.startswith(f"{UnknownWarning.__name__}: no user of {candidates} ('x', 'y') ")
    history.write_text("user,item,timestamp,rating\n")
    table, _ = predicted(untrained.trained, history, candidates, 1)
    assert table["user"].to_pylist() == ["x", "y"]
