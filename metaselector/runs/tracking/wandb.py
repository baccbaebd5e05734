"""Log metrics to Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaselector.common.errors import UserError
from metaselector.runs.tracking.tracker import Status, not_installed, scalars, tag


class WeightsAndBiases:
    """Creates one W&B run per command, and respects variables such as WANDB_MODE.

    The project is WANDB_PROJECT, by default ``metaselector``. Every part has its own step,
    ``<part>/round``.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        try:
            import wandb
        except ModuleNotFoundError as error:
            raise not_installed("wandb", error) from error
        import os

        project = os.environ.get("WANDB_PROJECT", "metaselector")
        try:
            self._run = wandb.init(
                project=project, name=directory.name, dir=directory, config=dict(settings)
            )
        except wandb.Error as error:
            raise UserError(
                f"tracking=wandb: {error}; run `wandb login`, set WANDB_MODE=offline, or remove "
                "wandb from tracking"
            ) from error
        self._known: set[str] = set()

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        name = tag(part)
        if name not in self._known:
            self._known.add(name)
            self._run.define_metric(f"{name}/*", step_metric=f"{name}/round")
        numbers = {f"{name}/{key}": value for key, value in scalars(values).items()}
        if numbers:
            self._run.log(numbers | {f"{name}/round": values["round"]})

    def close(self, status: Status) -> None:
        self._run.finish(exit_code=0 if status == "finished" else 1)
