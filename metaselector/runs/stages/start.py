"""Start a base model of a run from the one of another run."""

from __future__ import annotations

from torch import nn

from metaselector.data.splitting.protocol import Window
from metaselector.runs.run import Run
from metaselector.training.transfer import Transferred, source_rows, transfer


def start(run: Run, name: str, window: Window, seed: int, model: nn.Module) -> list[Transferred]:
    """Start an untrained base model from the source's, in place, if the run has a source."""
    if run.source is None:
        return []
    theirs, ours = run.source.dataset.schema, run.dataset.schema
    learned = run.source.tensors(name, window, seed)
    return transfer(model, learned, source_rows(theirs, ours), theirs.num_ids)
