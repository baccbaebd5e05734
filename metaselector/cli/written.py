"""Tell which files a command wrote, in lines or as JSON."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from metaselector.common.streams import put_out, say


def say_written(paths: Iterable[Path], *, as_json: bool, **found: Any) -> None:
    """Print paths, one a line; as JSON, under ``files`` and after what else the command found."""
    if not as_json:
        for path in paths:
            say(path)
        return
    from metaselector.report.as_json import as_text

    put_out(as_text(found | {"files": [str(path) for path in paths]}))
