"""The one exception that a user's mistake raises.

Everything the user can put right (a bad file, an unknown key, a stale checkpoint) is raised as a
:class:`UserError`: one line that says what is wrong, where, and what to do. The command line prints
that line and exits with code 2; a traceback means a defect of ours.
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
    """A mistake the user can correct, told in one line.

    Whatever names and other libraries put into `message`, the line is printable and not endless:
    see :func:`metaselector.common.text.one_line`.

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
        line: 1-based line of the offending record, if there is one.
        column: name of the offending column, if there is one.
    """

    def __init__(
        self, path: Path | str, problem: str, *, line: int | None = None, column: str | None = None
    ) -> None:
        where = str(path) if line is None else f"{path}:{line}"
        if column is not None:
            where += f" (column {column})"
        super().__init__(f"{where}: {problem}")


class ConfigError(UserError):
    """A setting that does not exist or has an impossible value."""


class CheckpointError(UserError):
    """A checkpoint that is missing, damaged, or made with another configuration."""


class CandidateWarning(UserWarning):
    """Candidates that adaptation knows too much of: older than the support, or part of it."""


class DamagedError(CheckpointError):
    """A checkpoint that cannot be read.

    Args:
        path: the file.
        problem: what is wrong with it.
    """

    def __init__(self, path: Path, problem: str) -> None:
        self.problem = f"{path}: {problem}"
        super().__init__(f"{self.problem}; train it again")


class LabelWarning(UserWarning):
    """Labels that a model is given seem to be on another scale than those it was trained on."""


class RenamedWarning(FutureWarning):
    """Settings are given under names that they had once."""


class UnknownWarning(UserWarning):
    """Rows that a model is given have users, items or words that it has never seen."""


def mishap(error: Exception) -> str:
    """What code of somebody else raised, and where: ``TypeError: no (own.py:12)``."""
    frames = traceback.extract_tb(error.__traceback__)
    where = f" ({Path(frames[-1].filename).name}:{frames[-1].lineno})" if frames else ""
    return f"{type(error).__name__}: {shortened(str(error), _LONGEST_PROBLEM)}{where}"


def nearest(name: str, valid: Iterable[str]) -> str:
    """``did you mean 'x'?`` for the valid name closest to `name`, or a list of the valid ones.

    Of very many names, or very long ones, only a part is compared and listed.
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
