"""Standard output and error that are full, closed, of another encoding, or a terminal."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.common.streams import console, put_out, say, sturdy_streams, tell

full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


class Terminal(io.TextIOWrapper):
    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)

    def isatty(self) -> bool:
        return True

    @property
    def shown(self) -> str:
        assert isinstance(self.buffer, io.BytesIO)
        return self.buffer.getvalue().decode()


def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    stream = Terminal()
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, stream)
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    return stream


def test_a_name_steers_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    name = "\x1b[2J\u202e"
    with sturdy_streams():
        tell(f"{name}\n")
        say(name)
        print(name)
        put_out(name)
    assert terminal.shown.count(r"\x1b[2J") == 4
    assert "\x1b" not in terminal.shown
    assert "\u202e" not in terminal.shown


def test_rich_still_has_colours(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = on_terminal(monkeypatch)
    with sturdy_streams():
        console().print("[bold]a[/]")
        console(err=True).print("[bold]b[/]")
    assert "\x1b[1ma" in terminal.shown
    assert "\x1b[1mb" in terminal.shown


@pytest.mark.parametrize("encoding", ["ascii", "cp1252"])
def test_what_an_encoding_lacks_is_escaped(encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    buffer = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(buffer, encoding=encoding))
    with sturdy_streams() as streams:
        say("Δ logloss")
        put_out("user,Δ\n")  # a file's contents are UTF-8
        streams.finish()
    assert buffer.getvalue() == b"\\u0394 logloss\n" + "user,Δ\n".encode()


@full
def test_a_full_output_is_told_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with sturdy_streams() as streams:
            for _ in range(2):
                say("x" * 100_000)  # more than a buffer
            with pytest.raises(UserError, match=r"^standard output: cannot be written \(No space"):
                streams.finish()


def test_a_pipe_that_nobody_reads(monkeypatch: pytest.MonkeyPatch) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as stream:
        monkeypatch.setattr(sys, "stdout", stream)
        with sturdy_streams() as streams:
            put_out("a")
            with pytest.raises(UserError, match=r"\(Broken pipe\)"):
                streams.finish()


def test_closed_streams(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("stdout", "stderr"):
        monkeypatch.setattr(sys, name, None)
    with sturdy_streams() as streams:
        tell("a")
        say("b")
        console().print("c")
        streams.finish()  # who closes it does not want to see it
        with pytest.raises(UserError, match="standard output is closed"):
            put_out("d")
    assert sys.stdout is None


def test_a_closed_number_is_not_given_to_the_next_file() -> None:
    script = (
        "import os; os.close(2)\n"
        "from metaselector.common.streams import sturdy_streams\n"
        "with sturdy_streams():\n"
        "    assert os.open(os.devnull, os.O_RDONLY) > 2"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_nothing_else_prints() -> None:
    """What is printed otherwise is neither escaped nor safe from a full disk."""
    package = Path(__file__).parents[2] / "metaselector"
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith(("print(", "typer.echo(")) or "Console()" in line
    }
    assert found <= {"common/streams.py", "training/distributed/launch.py"}
