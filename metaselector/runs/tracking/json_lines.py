"""A JSON object a line, which any tool reads, and ``tail -f`` follows."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, BinaryIO

from metaselector.runs.tracking.tracker import Status

LOG = Path("logs") / "training.jsonl"
"""In the run's directory. Every command that trains appends to it."""


class JSONLines:
    """Appends to ``logs/training.jsonl``; a number that is none becomes its name, ``"nan"``."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        self._path, self._settings = directory / LOG, settings
        self._file: BinaryIO | None = None

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        if self._file is None:  # a command that finds everything trained leaves nothing
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)  # for those who follow
            self._write(self._file, {"event": "began", "settings": self._settings})
        self._write(self._file, {"part": part, **values})

    def close(self, status: Status) -> None:
        if self._file is not None:
            self._write(self._file, {"event": "ended", "status": status})
            self._file.close()

    def _write(self, file: BinaryIO, line: Mapping[str, Any]) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        sound = {
            key: str(value) if isinstance(value, float) and not math.isfinite(value) else value
            for key, value in line.items()
        }
        file.write((json.dumps({"time": now, **sound}) + "\n").encode())
