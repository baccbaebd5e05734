"""How warnings of this package appear on the terminal."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, TextIO

from metaselector.common.errors import (
    CandidateWarning,
    LabelWarning,
    RenamedWarning,
    UnknownWarning,
)
from metaselector.common.streams import tell

_NOTES = (LabelWarning, RenamedWarning, UnknownWarning)


@contextmanager
def noted(*, quiet: bool = False) -> Iterator[None]:
    """Print each of our own warnings on one line; if `quiet`, only those that are no notes."""

    def show(
        message: Warning | str,
        category: type[Warning],
        filename: str,
        lineno: int,
        file: TextIO | None = None,
        line: str | None = None,
    ) -> None:
        if issubclass(category, CandidateWarning):
            tell(f"warning: {message}")
        elif issubclass(category, _NOTES):
            tell(f"note: {message}")
        else:
            before(message, category, filename, lineno, file, line)

    with warnings.catch_warnings():
        before, warnings.showwarning = warnings.showwarning, show
        for category in (CandidateWarning, *_NOTES):
            # A command may read a file of settings twice.
            often: Literal["once", "always", "ignore"] = "always"
            if category in _NOTES and quiet:
                often = "ignore"
            elif category is RenamedWarning:
                often = "once"
            warnings.simplefilter(often, category)
        yield
