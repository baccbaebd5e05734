"""The run that options describe: its place, its settings, and the process it runs in."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.cli.opening import use
from metaselector.common.errors import UserError
from metaselector.config import Config
from metaselector.runs.stages import prepare as prepare_stage

from .conftest import Invoke


def test_the_run_of_a_schema_is_called_like_it(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_stage, "prepare_run", lambda *_: None)
    done = invoke("data", "prepare", "--dataset", tmp_path / "shop.yaml")
    assert done.code == 0
    assert done.out == f"{Path('runs', 'shop', 'data')}\n"


@pytest.mark.parametrize("run", ["a" * 300, "file/below"])
def test_a_path_that_cannot_be(
    run: str, invoke: Invoke, tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(str(tmp_path))
    open("file", "w").close()
    for command in (["evaluate", "--run", run], ["explain", "--run", run, "--user", "u"]):
        assert invoke(*command).lone_error.startswith(f"{run}")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["reproduce", "--resume", "--run", "nowhere"], "nowhere: nothing to resume"),
        (["pretrain", "--resume", "--config", "x.yaml"], "omit --config"),
        (["reproduce", "--shard-tables"], "only one worker; add --workers N"),
        (["evaluate", "--shard-tables", "--workers", "1"], "only one worker; add --workers N"),
    ],
)
def test_options_that_need_something_else(
    arguments: list[str],
    message: str,
    invoke: Invoke,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert message in invoke(*arguments).lone_error
    assert list(tmp_path.iterdir()) == []


def test_threads_of_a_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("OMP_NUM_THREADS", "1,2")
    use(Config())
    for wrong in ("many", "0", "10000000000"):
        monkeypatch.setenv("OMP_NUM_THREADS", wrong)
        with pytest.raises(UserError, match=rf"^OMP_NUM_THREADS={wrong}: must be a number"):
            use(Config())
