"""Progress on a terminal and in a log."""

from __future__ import annotations

import io
import re
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from metaselector.common import progress
from metaselector.common.progress import Bars


def test_a_log_gets_a_line_a_minute_and_not_one_a_step(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With seconds for minutes."""
    monkeypatch.setattr(progress, "SECONDS", 0.2)
    bars = Bars()
    with bars.task("train", 400) as advance:
        for step in range(200):
            bars.log("train", {"epoch": 1, "loss": 0.5 + step})
            bars.log("something else", {"loss": 7.0})
            advance()
            time.sleep(0.005)  # 200 steps take a second or more
    *during, last = capsys.readouterr().err.splitlines()
    assert 2 <= len(during) <= 100
    for line in during:
        assert re.fullmatch(r"train +\d+/400 0:00:0\d, 0:0\d:\d\d left, loss \d+\.5000", line)
    assert re.fullmatch(r"train +200/200 0:00:\d\d, loss 199\.5000", last)


def test_a_step_that_takes_long_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(progress, "SECONDS", 0.05)
    with Bars().task("prepare data", 1) as advance:
        time.sleep(0.5)
        advance()
    during = capsys.readouterr().err.splitlines()[:-1]
    assert during
    assert all(re.fullmatch(r"prepare data +[01]/1 0:00:0\d(, .* left)?", line) for line in during)


def test_the_loss_at_the_end_of_an_epoch_is_that_on_valid(
    capsys: pytest.CaptureFixture[str],
) -> None:
    bars = Bars()
    with bars.task("train", 1) as advance:
        bars.log("train", {"epoch": 1, "loss": 0.7})
        bars.log("train", {"epoch": 1, "train_loss": 0.6, "valid_loss": 0.65})
        bars.log("train", {"epoch": 2, "train_loss": 0.6, "valid_loss": None})
        advance()
    assert capsys.readouterr().err.endswith("1/1 0:00:00, valid loss 0.6500\n")


def test_an_error_replaces_the_last_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="no"), Bars().task("train", 2):
        raise ValueError("no")
    assert capsys.readouterr().err == ""


def test_a_terminal_gets_a_bar_with_the_time_left_and_the_loss(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    screen = io.StringIO()
    monkeypatch.setattr(
        progress,
        "console",
        lambda *, err: Console(file=screen, force_terminal=True, width=120, color_system=None),
    )
    bars = Bars()
    with bars.task("train [b]", 4) as advance:
        for _ in range(2):
            advance()
        bars.log("train [b]", {"loss": 0.25})
    assert "train [b]" in screen.getvalue()
    assert "2/2" in screen.getvalue()
    assert "loss 0.2500" in screen.getvalue()


def test_a_log_file_holds_no_escape_sequences(tmp_path: Path) -> None:
    with (tmp_path / "log").open("w+") as log:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stderr", log)
            with Bars().task("train\x1b[2J", 1) as advance:
                advance()
        log.seek(0)
        assert "\x1b" not in log.read()
