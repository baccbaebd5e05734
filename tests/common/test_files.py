"""Complete or not at all."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.common.files import (
    about,
    atomic_directory,
    atomic_file,
    check_space,
    read_json,
    write_text,
)

Fail = Callable[[Path, BaseException], None]


def everything(directory: Path) -> list[str]:
    return sorted(path.relative_to(directory).as_posix() for path in directory.rglob("*"))


def test_a_file_appears_with_its_folders(tmp_path: Path) -> None:
    write_text(tmp_path / "a" / "b.txt", "déjà\n")
    assert (tmp_path / "a" / "b.txt").read_bytes() == "déjà\n".encode()
    assert everything(tmp_path) == ["a", "a/b.txt"]


@pytest.mark.parametrize("umask", [0o022, 0o002, 0o077])
def test_the_umask_says_who_may_read(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        write_text(tmp_path / "file.txt", "x")
        with atomic_directory(tmp_path / "folder"):
            pass
        with atomic_file(tmp_path / "other.txt") as temporary:
            temporary.unlink()  # as some writers do, which make a file of their own
            temporary.touch(mode=0o600)
    finally:
        os.umask(before)
    assert (tmp_path / "file.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "other.txt").stat().st_mode & 0o777 == 0o666 & ~umask
    assert (tmp_path / "folder").stat().st_mode & 0o777 == 0o777 & ~umask


@pytest.mark.parametrize("there", [True, False])
def test_of_a_link_what_it_leads_to_is_written(tmp_path: Path, there: bool) -> None:
    (tmp_path / "far").mkdir()
    for name in ("file", "folder"):
        (tmp_path / name).symlink_to(tmp_path / "far" / name)
    if there:
        (tmp_path / "far" / "file").write_text("old")
        (tmp_path / "far" / "folder").mkdir()
        (tmp_path / "far" / "folder" / "old").touch()
    write_text(tmp_path / "file", "new")
    with atomic_directory(tmp_path / "folder") as temporary:
        (temporary / "new").touch()
    assert (tmp_path / "far" / "file").read_text() == "new"
    assert everything(tmp_path / "far") == ["file", "folder", "folder/new"]
    assert (tmp_path / "file").is_symlink()
    assert (tmp_path / "folder").is_symlink()


def test_a_pipe_is_written_as_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    reading = os.open(tmp_path / "pipe", os.O_RDONLY | os.O_NONBLOCK)
    write_text(tmp_path / "pipe", "x")
    assert os.read(reading, 9) == b"x"
    os.close(reading)
    assert everything(tmp_path) == ["pipe"]


@pytest.mark.parametrize("place", ["{}", "{}/x", "a/{}/x"])
def test_a_name_that_is_too_long(tmp_path: Path, place: str) -> None:
    path = tmp_path / place.format("n" * 300)
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
        write_text(path, "x")
    with pytest.raises(UserError, match=r"cannot be written \(File name too long\)"):
        fail_filling(path, AssertionError("not filled"))
    assert everything(tmp_path) in ([], ["a"])


@pytest.mark.parametrize("name", ["n" * 255, "é" * 127])
def test_a_name_may_be_as_long_as_the_system_allows(tmp_path: Path, name: str) -> None:
    write_text(tmp_path / name, "x")
    (tmp_path / name).unlink()
    for _ in range(2):
        with atomic_directory(tmp_path / name):
            pass
    assert everything(tmp_path) == [name]


def test_the_temporary_file_keeps_the_suffix(tmp_path: Path) -> None:
    with atomic_file(tmp_path / "figure.png") as temporary:
        assert temporary.suffix == ".png"
        assert temporary.parent == tmp_path


def test_the_old_file_is_there_until_the_new_one_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with atomic_file(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"


def fail_writing(path: Path, error: BaseException) -> None:
    with atomic_file(path) as temporary:
        temporary.write_text("half")
        raise error


def fail_filling(path: Path, error: BaseException) -> None:
    with atomic_directory(path) as temporary:
        (temporary / "new.txt").write_text("half")
        raise error


@pytest.mark.parametrize("fail", [fail_writing, fail_filling])
@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_failure_leaves_nothing(tmp_path: Path, fail: Fail, error: BaseException) -> None:
    with pytest.raises(type(error)):
        fail(tmp_path / "target", error)
    assert everything(tmp_path) == []


@pytest.mark.parametrize("fail", [fail_writing, fail_filling])
def test_a_full_disk_is_the_users_to_mend(tmp_path: Path, fail: Fail) -> None:
    with pytest.raises(UserError, match=r"target: cannot be written \(No space left on device\)"):
        fail(tmp_path / "target", OSError(errno.ENOSPC, "No space left on device"))
    assert everything(tmp_path) == []


def test_a_failed_file_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(ValueError, match="mine"):
        fail_writing(path, ValueError("mine"))
    assert path.read_text() == "old"
    assert everything(tmp_path) == ["file.txt"]


def test_a_file_in_the_way_of_a_directory_stays(tmp_path: Path) -> None:
    (tmp_path / "folder").write_text("mine")
    with pytest.raises(UserError, match="a file has this name"):
        fail_filling(tmp_path / "folder", AssertionError("not filled"))
    assert (tmp_path / "folder").read_text() == "mine"


def test_a_failed_directory_leaves_the_old_one(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with pytest.raises(ValueError, match="mine"):
        fail_filling(path, ValueError("mine"))
    assert everything(tmp_path) == ["folder", "folder/old.txt"]


def test_a_directory_is_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "folder"
    path.mkdir()
    (path / "old.txt").write_text("old")
    with atomic_directory(path) as temporary:
        (temporary / "new.txt").write_text("new")
        assert everything(path) == ["old.txt"]
    assert everything(tmp_path) == ["folder", "folder/new.txt"]


def test_a_folder_that_failed_leaves_no_folders_above_it(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="mine"):
        fail_filling(tmp_path / "a" / "b" / "target", ValueError("mine"))
    assert everything(tmp_path) == []


def test_a_file_in_the_way_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "way").write_text("here")
    with pytest.raises(UserError, match="cannot be written"):
        write_text(tmp_path / "way" / "file.txt", "x")


LIMITED = """
import resource, sys
from pathlib import Path

resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
directory = Path(sys.argv[1])

from metaselector.common.errors import UserError
{setup}
try:
    {write}
except UserError as error:
    print(error)
    sys.exit(2)
"""
WRITERS = {
    "text": ("from metaselector.common.files import write_text", "write_text(path, 'x' * 10000)"),
    "checkpoint": (
        "import torch; from metaselector.training.checkpoint import save_checkpoint",
        "save_checkpoint(path, {'x': torch.ones(10000)}, {}, {})",
    ),
    "array": (
        "import numpy as np; from metaselector.common.files import atomic_directory",
        "with atomic_directory(path) as folder: np.save(folder / 'x.npy', np.ones(10000))",
    ),
    "parquet": (
        "import numpy as np, pandas as pd; from metaselector.common.files import atomic_file",
        "with atomic_file(path) as file: pd.DataFrame({'x': np.random.default_rng(0)"
        ".random(10000)}).to_parquet(file)",
    ),
    "figure": (
        "from matplotlib.figure import Figure; from metaselector.report.figures.style import save",
        "save(Figure(figsize=(9, 9), dpi=300), path)",
    ),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_files_may_not_grow(tmp_path: Path, writer: str) -> None:
    """A limit that the operating system keeps, as close to a full disk as a test can come."""
    setup, write = WRITERS[writer]
    program = LIMITED.format(setup=f"{setup}\npath = directory / 'x.png'", write=write)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2, done.stderr
    assert done.stdout.startswith(f"{tmp_path / 'x.png'}: cannot be written (")
    assert done.stdout.count("\n") == 1
    assert everything(tmp_path) == []


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1024, "1.0 KiB"),
        (5_917_549, "5.6 MiB"),
        (3 * 2**30, "3.0 GiB"),
        (2**50, "1024.0 TiB"),
    ],
)
def test_sizes_for_people(size: int, text: str) -> None:
    assert about(size) == f"about {text}"


@pytest.mark.parametrize(
    "text", ["", "[" * 100_000, '{"a": NaN}', "[-Infinity]", "9" * 5000, "{", "\0"]
)
def test_what_is_no_json(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(ValueError):  # noqa: PT011
        read_json(tmp_path / "a.json")


def test_json(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"ä": [1, null, 2.5]}', encoding="utf-8")
    assert read_json(tmp_path / "a.json") == {"ä": [1, None, 2.5]}


def test_space_on_the_disk(tmp_path: Path) -> None:
    check_space(tmp_path, 1, "a byte")
    with pytest.raises(
        UserError, match=r"about 1024\.0 TiB needed for a lot, but only about .* free"
    ):
        check_space(tmp_path, 2**50, "a lot")
