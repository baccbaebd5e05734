"""Open prepared data and read meta-batches from it, in a fresh process.

``python -m benchmarks.prepared_reading open|epoch DIRECTORY`` prints the results as JSON.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import measure
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import load_episodes, sample_episodes

BATCH_ROWS = 512
USERS, SUPPORT, QUERY = 256, 20, 20
WINDOW = (60, 80)


def opening(directory: Path) -> dict[str, float]:
    """Seconds to open the data set, and to read a first batch of random rows.

    ``verify`` is the time for hashing its files. For ``open`` it is opened again, without hashing.
    """
    first = time.perf_counter()
    EncodedDataset.load(directory)
    started = time.perf_counter()
    dataset = EncodedDataset.load(directory)
    opened = time.perf_counter()
    rows = np.random.default_rng(0).choice(len(dataset), min(BATCH_ROWS, len(dataset)))
    drawn = time.perf_counter()
    dataset.batch(rows)
    dataset.label(rows)
    read = time.perf_counter()
    return {
        "rows": len(dataset),
        "verify": (started - first) - (opened - started),
        "open": opened - started,
        "first_batch": read - drawn,
    }


def epoch(directory: Path, users: int = USERS) -> dict[str, list[Any]]:
    """Sample and load the episodes of each user once, in random order.

    Returns:
        ``users_per_second`` and ``anonymous_mb`` for each full meta-batch. The latter is memory
        after it that belongs to no file, in 10^6 bytes; None if the kernel does not report it.
    """
    dataset = EncodedDataset.load(directory)
    users = min(users, dataset.num_users)
    generator = np.random.default_rng(0)
    order = generator.permutation(dataset.num_users)
    rates: list[float] = []
    memory: list[float | None] = []
    for start in range(0, dataset.num_users - users + 1, users):
        chosen = order[start : start + users]
        started = time.perf_counter()
        rows = sample_episodes(dataset, WINDOW, SUPPORT, QUERY, chosen, generator)
        load_episodes(dataset, rows)
        rates.append(len(rows.users) / (time.perf_counter() - started))
        memory.append(_anonymous_mb())
    return {"users_per_second": rates, "anonymous_mb": memory}


def _anonymous_mb() -> float | None:
    try:
        return measure.held("RssAnon") * 1024 / 1e6
    except OSError:
        return None


if __name__ == "__main__":
    directory = Path(sys.argv[2])
    print(json.dumps(opening(directory) if sys.argv[1] == "open" else epoch(directory)))
