"""Log scalars to TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaselector.runs.tracking.tracker import Status, not_installed, scalars, tag


class TensorBoard:
    """Writes to the run directory; view it with ``tensorboard --logdir RUN/tensorboard``."""

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError as error:
            raise not_installed("tensorboard", error) from error
        self._writer = SummaryWriter(directory / "tensorboard")
        self._writer.add_text("settings", f"```json\n{json.dumps(settings, indent=1)}\n```")

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        for key, value in scalars(values).items():
            self._writer.add_scalar(f"{tag(part)}/{key}", value, values["round"])

    def close(self, status: Status) -> None:
        self._writer.close()
