"""Progress in a notebook: bars with ipywidgets, lines without, nothing outside of a notebook."""

from __future__ import annotations

import importlib.util
import sys
from types import SimpleNamespace
from typing import Any

import pytest

from metaselector import MetaSelector
from metaselector.api import notebook
from metaselector.common.progress import Silent

FIND = importlib.util.find_spec


@pytest.fixture
def in_jupyter(monkeypatch: pytest.MonkeyPatch) -> None:
    shell = SimpleNamespace(kernel=None)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))  # type: ignore[arg-type]


def test_nothing_is_shown_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    assert isinstance(MetaSelector()._progress, Silent)
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: None))  # type: ignore[arg-type]
    assert isinstance(notebook.default_progress(), Silent)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(notebook.default_progress(), Silent)


@pytest.mark.usefixtures("in_jupyter")
def test_lines_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        notebook.importlib.util, "find_spec", lambda n: None if n == "ipywidgets" else FIND(n)
    )
    model = MetaSelector()
    assert type(model._progress) is notebook.Lines
    with model._progress.task("train", 3) as advance:
        advance()
        advance()
    model._progress.note("a note")
    model._progress.skipped("test")
    out, err = capsys.readouterr()
    assert out.splitlines()[0].startswith("train: 2 in ")
    assert out.splitlines()[1:] == ["a note", "test: already done with the same settings"]
    assert not err
    with pytest.raises(ValueError, match="no"), model._progress.task("train", 3):
        raise ValueError("no")
    assert not capsys.readouterr().out


@pytest.mark.usefixtures("in_jupyter")
def test_given_progress_stays() -> None:
    silent = Silent()
    assert MetaSelector(progress=silent)._progress is silent


def test_a_bar_while_a_step_runs(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("ipywidgets")
    shown: list[Any] = []
    place = SimpleNamespace(update=lambda data, raw: shown.append(data["text/plain"]))

    def display(box: Any, display_id: bool) -> Any:
        shown.append(box)
        return place

    monkeypatch.setattr("IPython.display.display", display)
    monkeypatch.setattr(notebook, "_OFTEN", 0.0)
    with notebook.Widgets().task("train", 2) as advance:
        bar, text = shown[0].children
        assert (bar.value, bar.max, text.value) == (0, 2, "train")
        advance()
        assert (bar.value, text.value) == (1, "train: 1 of 2")
    assert shown[1].startswith("train: 1 in ")
    assert shown[0].comm is None  # closed
    with pytest.raises(ValueError, match="no"), notebook.Widgets().task("train", 2):
        raise ValueError("no")
    assert shown[3] == ""
    assert not capsys.readouterr().out


def test_notes_are_displayed_like_finished_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("IPython")
    shown: list[Any] = []
    monkeypatch.setattr("IPython.display.display", lambda data, raw: shown.append((data, raw)))
    notebook.Widgets().skipped("train")
    notebook.Widgets().note("a note")
    texts = ["train: already done with the same settings", "a note"]
    assert shown == [({"text/plain": text}, True) for text in texts]
