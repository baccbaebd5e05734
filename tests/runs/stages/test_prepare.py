"""From raw files to a prepared data set."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from metaselector.common.errors import DataError
from metaselector.config import Config, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.runs.stages.prepare import prepare

DROP = load_config(overrides=["data.drop_short_users=true"])


@pytest.fixture
def raw(write_world: Callable[..., Path], tmp_path: Path) -> Path:
    """The shared world, and two users of a single row each."""
    directory = write_world(tmp_path / "raw")
    with (directory / "ml-100k.inter").open("a") as file:
        file.write("short1\ti0\t5\t880000000\nshort2\ti1\t1\t880000001\n")
    return directory


def test_short_users_are_an_error_that_says_how_to_drop_them(raw: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"single row \(2 such users\).*drop_short_users") as caught:
        prepare(Config(), raw, tmp_path / "data")
    assert "ml-100k.inter:1202 (column user)" in str(caught.value)
    assert not (tmp_path / "data").exists()


def test_short_users_can_be_dropped(raw: Path, tmp_path: Path) -> None:
    prepare(DROP, raw, tmp_path / "data")
    dataset = EncodedDataset.load(tmp_path / "data")
    assert dataset.num_users == 40
    assert len(dataset) == 40 * 30
    assert not any(name.startswith("short") for name in dataset.user_names)


def test_rows_of_the_others_still_point_into_the_file(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    """A dropped first row must not shift what predictions say of the file's rows."""
    directory = write_world(tmp_path / "raw")
    path = directory / "ml-100k.inter"
    header, first, *rest = path.read_text().splitlines()
    path.write_text("\n".join([header, "short\ti0\t5\t880000000", first, *rest]) + "\n")
    prepare(DROP, directory, tmp_path / "data")
    dataset = EncodedDataset.load(tmp_path / "data")
    assert sorted(dataset.source_rows) == list(range(1, 40 * 30 + 1))


def test_dropping_nobody_changes_nothing(write_world: Callable[..., Path], tmp_path: Path) -> None:
    directory = write_world(tmp_path / "raw")
    digests = []
    for name, config in (("plain", Config()), ("drop", DROP)):
        prepare(config, directory, tmp_path / name)
        digests.append(EncodedDataset.load(tmp_path / name).digest())
    assert digests[0] == digests[1]


def test_users_with_few_rows_can_be_dropped(
    raw: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = raw / "ml-100k.inter"
    lines = path.read_text().splitlines(keepends=True)
    five = [line for line in lines if line.startswith("u0\t")][:5]
    path.write_text("".join(line for line in lines if line not in five))
    for fewest, users in ((25, 40), (26, 39)):
        config = load_config(overrides=[f"data.min_user_rows={fewest}"])
        prepare(config, raw, tmp_path / str(fewest))
        dataset = EncodedDataset.load(tmp_path / str(fewest))
        assert (dataset.num_users, dataset.schema.min_user_rows) == (users, fewest)
        assert np.diff(dataset.user_offsets).min() >= fewest
        assert (
            f"{42 - users} users with fewer than {fewest} rows dropped, with "
            f"{2 if users == 40 else 27} rows (data.min_user_rows)"
        ) in capsys.readouterr().err


def test_prepared_data_say_nothing_of_a_minimum_that_is_off(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    prepare(Config(), write_world(tmp_path / "raw"), tmp_path / "data")
    assert "min_user_rows" not in (tmp_path / "data" / "schema.json").read_text()


def test_repeated_rows_are_dropped_and_counted(
    write_world: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_world(tmp_path / "raw")
    prepare(Config(), directory, tmp_path / "once")
    assert capsys.readouterr().err == ""
    path = directory / "ml-100k.inter"
    lines = path.read_text().splitlines(keepends=True)
    path.write_text("".join([*lines, *lines[1:4]]))
    prepare(Config(), directory, tmp_path / "twice")
    assert capsys.readouterr().err == (
        f"warning: {path}: 3 rows repeat the user, item and time of an earlier row (the first in "
        "line 1202); dropped\n"
    )
    once, twice = (EncodedDataset.load(tmp_path / name) for name in ("once", "twice"))
    assert once.digest() == twice.digest()


def test_a_file_of_dates_in_no_order_is_told_of_once(
    write_world: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_world(tmp_path / "raw")
    path = directory / "ml-100k.inter"
    header, *lines = path.read_text().splitlines()
    rows = [line.rpartition("\t") for line in reversed(lines)]
    dates = [f"{row}\t{int(time) // 172_800 * 172_800}" for row, _, time in rows]
    path.write_text("\n".join([header, *dates]) + "\n")
    prepare(Config(), directory, tmp_path / "data")
    (*_, note) = capsys.readouterr().err.splitlines()
    assert note.startswith(f"note: {path}: ")
    assert " share their time with another row of their user, as all times are dates: " in note
    assert "the file, which is not sorted by time; " in note


def test_settings_reach_the_schema(write_world: Callable[..., Path], tmp_path: Path) -> None:
    config = load_config(
        overrides=["data.label_threshold=3", "data.history_length=2", "split.train=70"]
    )
    prepare(config, write_world(tmp_path / "raw"), tmp_path / "data")
    schema = EncodedDataset.load(tmp_path / "data").schema
    assert schema.dataset == "movielens-100k"
    assert (schema.label_threshold, schema.history_length) == (3, 2)
    assert schema.windows == (60, 70, 90)


@pytest.mark.parametrize(
    ("window", "rows"), [("train", slice(0, 24)), ("test", slice(27, 30))], ids=["train", "test"]
)
@pytest.mark.parametrize(("rating", "kind"), [(5, "positive"), (3, "negative")])
def test_a_window_of_one_class_is_an_error(
    write_world: Callable[..., Path],
    tmp_path: Path,
    window: str,
    rows: slice,
    rating: float,
    kind: str,
) -> None:
    def flip(ratings: np.ndarray) -> np.ndarray:
        ratings[:, rows] = rating
        return ratings

    directory = write_world(tmp_path / "raw", flip)
    with pytest.raises(DataError) as error:
        prepare(Config(), directory, tmp_path / "data")
    count = 40 * (rows.stop - rows.start)
    assert str(error.value) == (
        f"{directory / 'ml-100k.inter'} (column rating): all {count:,} rows of the {window} window "
        f"are {kind} (positive is a rating of 4 or more); choose another data.label_threshold"
    )
    assert not (tmp_path / "data").exists()


def test_users_with_too_few_rows_for_a_window_are_counted(
    write_world: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    directory = write_world(tmp_path / "raw")
    rows = [f"few\ti{r}\t5\t{880_000_000 + r}\n" for r in range(5)]
    rows += [f"two\ti{r}\t5\t{880_000_000 + r}\n" for r in range(2)]
    with (directory / "ml-100k.inter").open("a") as file:
        file.writelines(rows)
    prepare(Config(), directory, tmp_path / "data")
    assert capsys.readouterr().err == (
        "note: 1 of 42 users have too few rows for the window early to train (60-80 %)\n"
        "note: 2 of 42 users have too few rows for the window valid (80-90 %)\n"
    )


KILLED = """
import os, signal, sys
from pathlib import Path
from metaselector.config import Config
from metaselector.data.encoded.dataset_files import Writer
from metaselector.runs.stages.prepare import prepare

Writer.finish = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
prepare(Config(), Path(sys.argv[1]), Path(sys.argv[2]))
"""


def test_a_killed_preparation_leaves_nothing_that_looks_complete(
    write_world: Callable[..., Path], tmp_path: Path
) -> None:
    """The data prepared before stays untouched."""
    directory = write_world(tmp_path / "raw")
    target = tmp_path / "run" / "data"
    command = [sys.executable, "-c", KILLED, str(directory), str(target)]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert not target.exists()
    prepare(Config(), directory, target)
    digest = EncodedDataset.load(target).digest()
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert EncodedDataset.load(target).digest() == digest


@pytest.mark.parametrize("window", ["train", "test"])
def test_a_later_task_of_one_class_is_an_error(
    write_world: Callable[..., Path], tmp_path: Path, window: str
) -> None:
    """Only where it is observed: sampled rows have no rating."""
    films = np.arange(1200)

    def flip(ratings: np.ndarray) -> np.ndarray:
        ratings[:, slice(0, 25) if window == "train" else slice(26, 30)] = 5
        return ratings

    directory = write_world(tmp_path / "raw", flip)
    path = directory / "ml-100k.inter"
    header, *lines = path.read_text().splitlines()
    parts = [line.split("\t") for line in lines]
    # Many films, so that there are enough to sample from.
    rows = [
        f"{user}\tf{film}\t{rating}\t{time}"
        for film, (user, _, rating, time) in zip(films, parts, strict=True)
    ]
    path.write_text("\n".join([header, *rows]) + "\n")
    with pytest.raises(DataError) as error:
        prepare(load_config(overrides=["dataset=movielens-100k-funnel"]), directory, tmp_path / "d")
    assert f"{path} (column liked): all " in str(error.value)
    assert (
        f"observed rows of the {window} window are positive (positive is a liked of 4 or more)"
        in (str(error.value))
    )
