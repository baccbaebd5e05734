"""Options with unusual values."""

from __future__ import annotations

import sys

import pytest

from metaselector.cli.opening import use
from metaselector.common.errors import UserError
from metaselector.config import Config

from .conftest import Invoke


@pytest.mark.parametrize("given", [["--workers", "2"], ["--workers=2"], ["--workers=+2"]])
def test_workers_get_the_whole_command_line(
    given: list[str], invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    launched = []
    monkeypatch.setattr(
        "metaselector.training.distributed.launch.launch",
        lambda arguments, workers: launched.append((arguments, workers)) or 0,
    )
    assert invoke("evaluate", *given, "--run", "x").code == 0
    assert launched == [(("evaluate", *given, "--run", "x"), 2)]


def test_a_worker_starts_no_workers(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr("metaselector.training.distributed.launch.launch", pytest.fail)
    assert "unknown setting" in invoke("evaluate", "--workers", "2", "--set", "x=1").lone_error


def test_threads_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    use(Config())
    for wrong in ("many", "0", "10000000000"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        with pytest.raises(UserError, match=rf"^OMP_NUM_THREADS={wrong}: must be a number"):
            use(Config())


@pytest.mark.parametrize("run", ["a" * 300, "file/below"])
def test_a_path_that_cannot_be(
    run: str, invoke: Invoke, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    open("file", "w").close()
    for command in (["evaluate", "--run", run], ["explain", "--run", run, "--user", "u"]):
        assert invoke(*command).lone_error.startswith(f"{run}")


def test_memory_that_runs_out(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*arguments: object, **options: object) -> None:
        raise MemoryError("Unable to allocate 3 TiB")

    monkeypatch.setattr("metaselector.config.load_config", exhausted)
    assert invoke("config").lone_error.startswith(
        "not enough memory (Unable to allocate 3 TiB); reduce a batch size"
    )


def test_a_defect_of_ours_is_a_traceback(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise RuntimeError("no")

    monkeypatch.setattr("metaselector.config.load_config", broken)
    monkeypatch.setattr(sys, "argv", ["metaselector", "config"])
    from metaselector.cli import main

    with pytest.raises(RuntimeError, match="no"):
        main()
