"""Locks: one process per run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.common.files import write_text
from metaselector.runs.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from metaselector.runs.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_a_second_one_is_refused_and_says_who_holds_it(tmp_path: Path) -> None:
    with (
        locked(tmp_path / "run"),
        pytest.raises(UserError, match=rf"process {os.getpid()} on .* is writing this run"),
        locked(tmp_path / "run"),
    ):
        pass
    with locked(tmp_path / "run"):
        pass


def test_another_process_is_refused_until_this_one_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    command = [sys.executable, "-c", HOLD, str(tmp_path / "run")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, env=environment) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with pytest.raises(UserError, match=f"process {holder.pid} "), locked(tmp_path / "run"):
            pass
        holder.kill()
    with locked(tmp_path / "run"):
        pass


def test_it_leaves_nothing_behind(tmp_path: Path) -> None:
    with locked(tmp_path / "deep" / "run"):
        pass
    assert list((tmp_path / "deep").iterdir()) == []
    with locked(tmp_path / "run"):
        (tmp_path / "run" / "results.csv").write_text("x")
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["results.csv"]


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"), locked(tmp_path / "file" / "run"):
        pass


@pytest.mark.parametrize("there", [True, False])
def test_a_run_may_be_a_link(tmp_path: Path, there: bool) -> None:
    (tmp_path / "run").symlink_to(tmp_path / "far" / "run")
    if there:
        (tmp_path / "far" / "run").mkdir(parents=True)
    with locked(tmp_path / "run"):
        write_text(tmp_path / "run" / "results.csv", "x")
    assert (tmp_path / "far" / "run" / "results.csv").read_text() == "x"
    assert (tmp_path / "run").is_symlink()


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="File name too long"), locked(tmp_path / ("n" * 300)):
        pass
