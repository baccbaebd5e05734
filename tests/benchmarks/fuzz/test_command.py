"""`python -m benchmarks.fuzz`, with planted targets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from planted import catalogue
from typer.testing import CliRunner, Result

from benchmarks.fuzz import __main__ as command
from metaselector.common.errors import UserError


@pytest.fixture
def call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(command, "catalogue", catalogue)
    (tmp_path / "world").mkdir()
    (tmp_path / "world" / "made").touch()

    def run(*words: str) -> Result:
        options = ["--world", str(tmp_path / "world"), "--findings", str(tmp_path / "found")]
        return CliRunner().invoke(command.app, [*options, "--processes", "1", *words])

    return run


def test_without_findings(call, tmp_path: Path) -> None:
    path = tmp_path / "fuzz.json"
    words = ("--target", "success", "--target", "refused", "--inputs", "60", "--json", str(path))
    done = call(*words)
    assert done.exit_code == 0, done.output
    found = json.loads(path.read_text())
    assert found["inputs"]["targets"].keys() == {"success", "refused"}
    expected = {"tried": 60, "success": 30, "refused": 30, "findings": 0, "seed": 0}
    assert {key: found["inputs"][key] for key in expected} == expected
    assert not found.keys() & {"damaged", "kills"}
    assert not (tmp_path / "found").exists()


def test_findings_are_told_and_end_with_1(call, tmp_path: Path) -> None:
    done = call("--target", "different", "--target", "success", "--inputs", "4")
    assert done.exit_code == 1
    assert (
        "different 0: different (different):  is read as : 1 is read as 2; kept in" in done.output
    )
    assert "2 × different (different)" in done.output
    assert len([*(tmp_path / "found").iterdir()]) == 2


def test_one_input_again(call, tmp_path: Path) -> None:
    done = call("--target", "traceback", "--only", "123", "--seed", "7")
    assert done.exit_code == 1
    assert [path.name for path in (tmp_path / "found").iterdir()] == ["traceback-123"]
    assert "KeyError" in (tmp_path / "found" / "traceback-123" / "finding.txt").read_text()


def test_no_time(call) -> None:
    done = call("--target", "traceback", "--seconds", "0")
    assert done.exit_code == 0


def test_an_unknown_target(call) -> None:
    done = call("--target", "sucess")
    assert isinstance(done.exception, UserError)
    assert str(done.exception) == "--target sucess: unknown target; did you mean 'success'?"
