"""How to install optional packages, without naming this project, which is on no index."""

from __future__ import annotations

import re
import shlex
from importlib.metadata import PackageNotFoundError, requires

_OF_EXTRA = re.compile(r"""(.+?)\s*;\s*extra == ["']([\w-]+)["']""")


def install_extra(extra: str) -> str:
    """The command that installs what an extra of this package requires.

    Example:
        >>> install_extra("tune")
        "pip install 'optuna>=5'"
    """
    try:
        found = map(_OF_EXTRA.fullmatch, requires("metaselector") or ())
        names = [match[1] for match in found if match is not None and match[2] == extra]
    except PackageNotFoundError:  # run from its source, without being installed
        names = []
    return shlex.join(["pip", "install", *(names or [extra])])
