"""What the tests of the command line share: a tiny run, and a way to call the commands."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from metaselector.cli import main

TINY = """
base_models:
  lr: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
selector: {hidden_size: 4, epochs: 1}
adapt: {support_size: 5}
meta_train: {epochs: 1}
paper: {epochs: 1}
evaluate: {resamples: 2}
threads: 1
"""
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"

WriteWorld = Callable[..., Path]
Invoke = Callable[..., "Done"]


class Done(NamedTuple):
    code: object
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a user's mistake, after whatever progress was shown before it."""
        assert self.code == 2, self.err
        assert "Traceback" not in self.err
        *shown, last = self.err.splitlines()
        assert last.startswith("error: ")
        assert not any(line.startswith("error: ") for line in shown)
        return last.removeprefix("error: ")

    @property
    def lone_error(self) -> str:
        """The one line on standard error."""
        assert self.err.count("\n") == 1, self.err
        return self.error


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Invoke]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["metaselector", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        return Done(exited.value.code or 0, *capfd.readouterr())

    yield run
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def raw(write_world: WriteWorld, tmp_path: Path) -> Path:
    return write_world(tmp_path / "raw")


@pytest.fixture
def prepared(invoke: Invoke, raw: Path, settings: Path, tmp_path: Path) -> Path:
    """A run whose data is prepared."""
    run = tmp_path / "run"
    assert invoke("data", "prepare", "--run", run, "--data", raw, "--config", settings).code == 0
    return run


@pytest.fixture
def pretrained(invoke: Invoke, prepared: Path) -> Path:
    assert invoke("pretrain", "--run", prepared).code == 0
    return prepared


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


def prepare(invoke: Invoke, data: Path, run: Path, *more: object) -> Done:
    return invoke("data", "prepare", "--run", run, "--data", data, "--set", "threads=1", *more)


def edit_line(raw: Path, number: int, text: str) -> None:
    path = raw / "ml-100k.inter"
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")
