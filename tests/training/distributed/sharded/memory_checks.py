"""What test_memory.py does under a limit of memory; torchrun may start several of this file.

``python memory_checks.py FOLDER`` trains a factorization machine whose table is larger than what
the process may allocate, unless several workers share it. It leaves ``RANK.json`` in FOLDER, with
the error if there was one, and the model.
"""

from __future__ import annotations

import json
import os
import resource
import sys
from pathlib import Path

import numpy as np
import torch

from metaselector.common.errors import UserError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.config.training import PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.runs.new_models import NewModels
from metaselector.runs.sharding import shard
from metaselector.training.checkpoint import WholeFiles
from metaselector.training.distributed import workers
from metaselector.training.pretrain import pretrain

ITEMS, SIZE = 50_000, 1000
TABLE = 4 * ITEMS * SIZE
"""Bytes of the table, 200 MB."""
SHARE = 0.9
"""Of the table, what a process may allocate. Of six workers each needs four sixths of the table: a
sixth for its rows, one for their gradient, and two for their moments."""
FILE = "fm.safetensors"


def allocated() -> int:
    """Bytes that the limit counts: private memory that can be written."""
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmData:"))
    return 1024 * int(line.split()[1])


def train(dataset: EncodedDataset, folder: Path) -> None:
    size = SIZE if dataset.schema.num_ids > ITEMS else 2
    options = {"base_models": {"fm": {"options": {"embedding_size": size}}}}
    config = load_config(None, (), options)
    sharded = shard(config, dataset.schema) if workers.count() > 1 else None
    model = NewModels(config, dataset.schema, sharded).base("fm", 0)
    made = pretrain(
        model,
        dataset,
        np.arange(len(dataset)),
        PretrainConfig(batch_size=64),
        np.random.default_rng(0),
        valid=None,
        epochs=2,
        description="fit",
        progress=Silent(),
    )
    losses = [line["train_loss"] for line in made.history]
    (sharded or WholeFiles()).save(folder / FILE, model.state_dict(), {}, {"losses": losses})


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    small, dataset = (
        planted_world(4, 20, items, np.random.default_rng(0)).dataset for items in (8, ITEMS)
    )
    problem = None
    with workers.joined("cpu"):
        train(small, folder)  # whatever code allocates once
        workers.wait()
        most = allocated() + int(SHARE * TABLE)
        resource.setrlimit(resource.RLIMIT_DATA, (most, most))
        try:
            train(dataset, folder)
        except (UserError, RuntimeError) as error:
            problem = str(error)
        (folder / f"{workers.rank()}.json").write_text(json.dumps({"problem": problem}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    os._exit(0)  # see checked.py
