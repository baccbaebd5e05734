"""Start workers of :mod:`benchmarks.communication_worker` on a network and collect results."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.communication_network import Network
from metaselector.common.errors import UserError


@dataclass(frozen=True)
class Job:
    """A training for the workers.

    Attributes:
        way: how they communicate: a value of ``meta_train.comm``, or ALONE.
        seed: seed of the base models.
        users: users per meta-batch in a timing of few steps; None trains to the end.
    """

    way: str
    seed: int
    users: int | None = None


@dataclass(frozen=True)
class Place:
    """Data and base models of all jobs: `base` is a run with the settings of `config`."""

    base: Path
    config: Path
    seeds: tuple[int, ...]


def together(place: Place, network: Network, workers: int, jobs: Sequence[Job]) -> list[Any]:
    """Run the jobs in sequence on `workers` processes of one thread each.

    Raises:
        UserError: a worker failed; the message has the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        request = Path(folder) / "request.json"
        asked: dict[str, Any] = {"base": str(place.base.resolve()), "config": str(place.config)}
        asked |= {"seeds": list(place.seeds), "link": network.link}
        request.write_text(json.dumps(asked | {"jobs": [asdict(job) for job in jobs]}))
        logs = [Path(folder) / f"{rank}.log" for rank in range(workers)]
        started = [_start(network, rank, workers, request, log) for rank, log in enumerate(logs)]
        try:
            while any(process.poll() is None for process in started):
                if any(process.poll() for process in started):
                    break  # otherwise the others wait for the one that failed
                time.sleep(0.2)
        finally:
            for process in started:
                process.kill()
                process.wait()
        for process, log in zip(started, logs, strict=True):
            if process.returncode > 0:
                raise UserError(f"a worker failed:\n{log.read_text()[-2000:]}")
        found: list[Any] = json.loads(request.with_suffix(".found").read_text(encoding="utf-8"))
        return found


def _start(
    network: Network, rank: int, workers: int, request: Path, log: Path
) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "benchmarks.communication_worker", str(request)]
    told = {"OMP_NUM_THREADS": "1", **network.environment(rank, workers)}
    with log.open("wb") as file:
        return subprocess.Popen(
            network.prefix(rank) + command, env=os.environ | told, stdout=file, stderr=file
        )
