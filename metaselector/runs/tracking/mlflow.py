"""Logs to MLflow."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metaselector.common.errors import UserError
from metaselector.runs.tracking.tracker import Status, flat, not_installed, scalars, tag

EXPERIMENT = "metaselector"
_STATUS = {"finished": "FINISHED", "interrupted": "KILLED", "failed": "FAILED"}
_LONGEST = 500
"""Most characters of a setting that every version of MLflow's server accepts."""


class MLflow:
    """Starts one MLflow run per command, in the experiment ``metaselector``.

    MLflow's own variables MLFLOW_TRACKING_URI and MLFLOW_EXPERIMENT_NAME apply; the default store
    is ``mlflow.db`` in the run's directory. The global state of ``mlflow`` is left unchanged.
    """

    def __init__(self, directory: Path, settings: Mapping[str, Any]) -> None:
        try:
            from mlflow import MlflowClient
            from mlflow.entities import Metric, Param
            from mlflow.exceptions import MlflowException
        except ModuleNotFoundError as error:
            raise not_installed("mlflow", error) from error
        self._metric, name = Metric, os.environ.get("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
        directory.mkdir(parents=True, exist_ok=True)
        where = (
            os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{directory.absolute()}/mlflow.db"
        )
        try:
            self._client = MlflowClient(tracking_uri=where)
            known = self._client.get_experiment_by_name(name)
            experiment = known.experiment_id if known else self._client.create_experiment(name)
            run = self._client.create_run(experiment, run_name=directory.name)
            self._run: str = run.info.run_id
            params = [Param(key, str(value)[:_LONGEST]) for key, value in flat(settings)]
            for start in range(0, len(params), 100):  # the server's limit per request
                self._client.log_batch(self._run, params=params[start : start + 100])
        except MlflowException as error:
            raise UserError(
                f"tracking=mlflow: {where} does not accept runs ({error}); correct "
                "MLFLOW_TRACKING_URI, or remove mlflow from tracking"
            ) from error

    def log(self, part: str, values: Mapping[str, Any]) -> None:
        from time import time

        now = int(time() * 1000)
        metrics = [
            self._metric(f"{tag(part)}/{key}", value, now, values["round"])
            for key, value in scalars(values).items()
        ]
        if metrics:
            self._client.log_batch(self._run, metrics=metrics)

    def close(self, status: Status) -> None:
        self._client.set_terminated(self._run, _STATUS[status])
