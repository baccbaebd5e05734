"""Exceptions and warnings for mistakes that users can correct.

Everything the user can correct (a bad file, an unknown key, a stale checkpoint) is raised as a
:class:`UserError`: one line that says what is wrong, where, and what to do. The command line prints
that line and exits with code 2; a traceback means a bug in MetaSelector.
"""

from __future__ import annotations

import difflib
import traceback
from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from metaselector.common.text import one_line, shortened

_LISTED, _COMPARED, _LONGEST_NAME, _LONGEST_PROBLEM = 20, 10_000, 60, 300


class UserError(Exception):
    """A mistake the user can correct, with a message of one line.

    The message is made printable and limited in length, whatever names and other libraries put into
    it; see :func:`metaselector.common.text.one_line`.

    Example:
        >>> from metaselector.config import load_config
        >>> try:
        ...     load_config(overrides=["adapt.stepz=3"])
        ... except UserError as error:
        ...     print(type(error).__name__)
        ConfigError
    """

    def __init__(self, message: str = "") -> None:
        super().__init__(one_line(message))


class DataError(UserError):
    """A problem in an input file.

    Args:
        path: the file.
        problem: what is wrong and what to do about it.
        line: line of the record, from 1, if known.
        column: name of the column, if known.
    """

    def __init__(
        self, path: Path | str, problem: str, *, line: int | None = None, column: str | None = None
    ) -> None:
        where = str(path) if line is None else f"{path}:{line}"
        if column is not None:
            where += f" (column {column})"
        super().__init__(f"{where}: {problem}")


class ConfigError(UserError):
    """A setting is unknown or has an invalid value."""


class CheckpointError(UserError):
    """A checkpoint is missing, damaged, or was trained with different settings."""


class CandidateWarning(UserWarning):
    """Candidates are older than the support set or part of it, so adaptation has seen them."""


class DamagedError(CheckpointError):
    """A checkpoint cannot be read.

    Args:
        path: the file.
        problem: what is wrong with it.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.problem = f"{path}: {problem}"
        super().__init__(f"{self.problem}; train it again")


class LabelWarning(UserWarning):
    """Labels seem to be on another scale than those the model was trained on."""


class RenamedWarning(FutureWarning):
    """Settings use their former names."""


class UnknownWarning(UserWarning):
    """Rows have users, items or words that the model has never seen."""


def mishap(error: Exception) -> str:
    """Describe an exception from a plug-in or library: ``TypeError: message (own.py:12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {shortened(str(error), _LONGEST_PROBLEM)}{where}"


def nearest(name: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the valid name closest to `name`, or a list of valid names.

    If there are very many names, or very long ones, only some are compared and listed.
    """
    options = sorted(islice(valid, _COMPARED))
    asked = name[:_LONGEST_NAME]
    near = [option for option in options if len(option) <= 2 * _LONGEST_NAME]
    close = difflib.get_close_matches(asked, near, n=1, cutoff=0.5)
    if close:
        return f"did you mean '{close[0]}'?"
    listed = ", ".join(shortened(option, _LONGEST_NAME) for option in options[:_LISTED])
    more = len(options) - _LISTED
    return f"valid names: {listed}" + (f", and {more:,} more" if more > 0 else "")
