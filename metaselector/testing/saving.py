"""Check that seeds and checkpoints reproduce a model."""

from __future__ import annotations

import tempfile
from pathlib import Path

import torch

from metaselector.testing.subject import ROWS, Subject
from metaselector.training.checkpoint import read_checkpoint, save_checkpoint


def seed_decides_the_weights(subject: Subject) -> None:
    """Two models with the same seed have equal weights."""
    first, second = (subject.fresh().state_dict() for _ in range(2))
    for name, tensor in first.items():
        if not torch.equal(tensor, second[name]):
            subject.fail(
                f"'{name}' does not depend on the seed alone; draw it with torch, whose generator "
                "is seeded while the constructor runs"
            )


def weights_survive_a_file(subject: Subject) -> None:
    """A model with another seed gives the same logits after loading a checkpoint."""
    batch = subject.batch(ROWS).to("cpu", torch.float32)
    model, other = (subject.fresh(subject.seed + i) for i in range(2))
    with tempfile.TemporaryDirectory(prefix="metaselector-") as directory:
        path = Path(directory) / "model.safetensors"
        try:
            save_checkpoint(path, model.state_dict(), {}, {})
            other.load_state_dict(read_checkpoint(path).tensors)
        except (RuntimeError, ValueError) as error:
            reason = " ".join(str(error).split())[:200]
            subject.fail(
                f"its state_dict cannot be saved and loaded with safetensors ({reason}); "
                "parameters and buffers must not share memory, and their sizes may depend on "
                "options only",
                error,
            )
    subject.compare(
        other(batch).detach(),
        model(batch).detach(),
        "after saving and loading its logits differ; forward may only read parameters, buffers "
        "and what is derived from the options",
    )
