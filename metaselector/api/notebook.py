"""Progress in Jupyter: widgets if the extra ``notebook`` is installed, plain lines otherwise."""

from __future__ import annotations

import importlib.util
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from metaselector.common.progress import Advance, Progress, Silent
from metaselector.common.streams import say

_OFTEN = 0.1
"""Seconds between two updates of a bar."""


def default_progress() -> Progress:
    """Reports progress in a notebook, and nothing elsewhere."""
    if not in_notebook():
        return Silent()
    return Widgets() if importlib.util.find_spec("ipywidgets") else Lines()


def in_notebook() -> bool:
    """Whether this process is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return hasattr(shell, "kernel")


class Lines:
    """Prints a line when a step is done."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        started, done = time.perf_counter(), 0

        def advance() -> None:
            nonlocal done
            done += 1

        yield advance
        say(_done(description, done, time.perf_counter() - started))

    def skipped(self, description: str) -> None:
        self.note(f"{description}: already done with the same settings")

    def note(self, text: str) -> None:
        say(text)

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        pass


class Widgets(Lines):
    """Shows a bar while a step runs, and in its place a line when it is done."""

    @contextmanager
    def task(self, description: str, total: int) -> Iterator[Advance]:
        import ipywidgets
        from IPython.display import display

        bar = ipywidgets.IntProgress(max=max(total, 1), layout=ipywidgets.Layout(width="16em"))
        text = ipywidgets.Label(description)
        box = ipywidgets.HBox([bar, text])
        started, done, shown = time.perf_counter(), 0, 0.0
        place = display(box, display_id=True)

        def advance() -> None:
            nonlocal done, shown
            done += 1
            now = time.perf_counter()
            if now - shown >= _OFTEN:
                shown, bar.value = now, done
                text.value = f"{description}: {done:,} of {total:,}"

        line = ""
        try:
            yield advance
            line = _done(description, done, time.perf_counter() - started)
        finally:
            box.close()
            place.update({"text/plain": line}, raw=True)  # a stored notebook shows no dead widget

    def note(self, text: str) -> None:
        from IPython.display import display

        display({"text/plain": text}, raw=True)  # beside the finished steps, not among the output


def _done(description: str, done: int, seconds: float) -> str:
    return f"{description}: {done:,} in {seconds:.1f} s"
