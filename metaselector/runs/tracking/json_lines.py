"""Log metrics as JSON lines, for any tool and for ``tail -f``."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from metaselector.runs.tracking.tracker import Status

LOG = Path("logs") / "training.jsonl"
"""Log file in the run directory; every command that trains appends to it."""


class JSONLines:
    """Appends to ``logs/training.jsonl``; non-finite numbers become strings such as ``"nan"``."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = directory / LOG, settings
        self._file: BinaryIO | None = None

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        if self._file is None:  # opened late: a command with nothing to train writes nothing
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)  # unbuffered, for `tail -f`
            self._write(self._file, {"event": "began", "settings": self._settings})
        self._write(self._file, {"part": part, **values})

    def close(self, status: Status) -> None:
        if self._file is not None:
            self._write(self._file, {"event": "ended", "status": status})
            self._file.close()

    def _write(self, file: BinaryIO, line: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        encodable = {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in line.items()
        }
        file.write((json.dumps({"time": now, **encodable}) + "\n").encode())
