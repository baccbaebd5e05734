"""Initialise base models from those of another run, trained on other data.

Embedding rows are matched by word: a row is copied to the same word of the field with the same
name. Words are compared as text, so user 5 of one data set counts as user 5 of the other. The
source must not have been trained on rows that this run validates or tests with; :func:`overlap`
warns if both runs split the same data set differently.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.common.errors import CheckpointError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID, Schema
from metaselector.data.splitting.protocol import Window
from metaselector.training.checkpoint import checkpoint_path, read_checkpoint

TRANSFER_FILE = "transfer.csv"
"""File in a run directory: :class:`Transferred` of every base model, with seed and window."""

How = Literal["by word", "copied", "new"]


class Transferred(NamedTuple):
    """How one parameter was initialised.

    Attributes:
        parameter: its name.
        how: rows matched by word, copied as a whole, or new because the source has no parameter of
            this name and shape.
        rows: number of rows along the first axis that came from the source.
        of: number of rows in all.
    """

    parameter: str
    how: How
    rows: int
    of: int


class TransferSource:
    """Data and trained base models of another run.

    Args:
        directory: the run directory.

    Raises:
        DataError: the run's prepared data is missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._digests: dict[tuple[str, Window, int], str] = {}

    @cached_property
    def dataset(self) -> EncodedDataset:
        return EncodedDataset.load(self.directory / "data")

    def tensors(self, name: str, window: Window, seed: int) -> dict[str, Tensor]:
        """Trained tensors of a base model, by name.

        Raises:
            CheckpointError: the checkpoint is missing, damaged, or was trained on other data than
                the run now holds.
        """
        path = checkpoint_path(self.directory, seed, f"base-{name}-{window}")
        if not path.exists():
            raise CheckpointError(
                f"transfer.init_from: {path}: checkpoint not found; pretrain base model '{name}' "
                f"with seed {seed} in that run, or remove the model or the seed from this one"
            )
        checkpoint = read_checkpoint(path)
        if checkpoint.settings.get("data_sha256") != self.dataset.digest():
            raise CheckpointError(
                f"transfer.init_from: {path}: was not trained on the data in {self.directory}/data;"
                " pretrain that run again"
            )
        return checkpoint.tensors

    def digest(self, name: str, window: Window, seed: int) -> str:
        """SHA-256 of a base model's tensors and of the data that define what its rows mean."""
        key = (name, window, seed)
        if key not in self._digests:
            sha = hashlib.sha256(self.dataset.digest().encode())
            for parameter, tensor in sorted(self.tensors(*key).items()):
                sha.update(f"{parameter} {tuple(tensor.shape)} {tensor.dtype}".encode())
                sha.update(tensor.numpy().tobytes())
            self._digests[key] = sha.hexdigest()
        return self._digests[key]


def source_rows(source: Schema, target: Schema) -> NDArray[np.int64]:
    """For each id of `target`, the id of the same word in `source`, or -1.

    Padding maps to padding, and a field's id for unseen words to that of the field of the same
    name.

    Returns:
        int64 ``[V]``, with V ids of `target`.
    """
    rows = np.full(target.num_ids, -1, dtype=np.int64)
    rows[PADDING_ID] = PADDING_ID
    known = {field.name: field for field in source.fields}
    for field in target.fields:
        if field.name in known:
            same = known[field.name]
            ids = same.encoder()
            words = [same.first_id, *(ids.get(word, -1) for word in field.vocabulary)]
            rows[field.first_id : field.first_id + field.num_ids] = words
    return rows


@torch.no_grad()
def transfer(
    model: nn.Module, tensors: Mapping[str, Tensor], rows: NDArray[np.int64], num_ids: int
) -> list[Transferred]:
    """Initialise `model` in place from the tensors of another run's model.

    Rows of ``model.tables`` whose word the source does not know keep their initial values. So does
    every parameter that the source lacks or has in another shape.

    Args:
        tensors: tensors of the source, by name.
        rows: result of :func:`source_rows`.
        num_ids: number of ids of the source, V.
    """
    tables: Sequence[str] = getattr(model, "tables", ())
    known = torch.from_numpy(rows >= 0)
    taken = torch.from_numpy(rows[rows >= 0])
    report = []
    for name, parameter in model.named_parameters():
        size = parameter.shape[0] if parameter.ndim else 1
        tensor = tensors.get(name)
        if tensor is None or tensor.ndim != parameter.ndim:
            report.append(Transferred(name, "new", 0, size))
        elif name in tables and tensor.shape[1:] == parameter.shape[1:] and len(tensor) == num_ids:
            parameter[known.to(parameter.device)] = tensor[taken].to(parameter)
            report.append(Transferred(name, "by word", len(taken), size))
        elif name not in tables and tensor.shape == parameter.shape:
            parameter.copy_(tensor)
            report.append(Transferred(name, "copied", size, size))
        else:
            report.append(Transferred(name, "new", 0, size))
    return report


def overlap(source: EncodedDataset, target: EncodedDataset) -> list[str]:
    """Warnings and notes on a transfer, one sentence each."""
    notes = []
    ours, theirs = target.schema, source.schema
    split = [(each.windows, each.cold_seed, each.dates) for each in (ours, theirs)]
    if ours.dataset == theirs.dataset and split[0] != split[1]:
        shared = len(set(source.user_names) & set(target.user_names))
        if shared:
            notes.append(
                f"warning: the source also uses {theirs.dataset}, split differently, and shares "
                f"{shared:,} of the {target.num_users:,} users: it may have been trained on rows "
                "that this run validates or tests with, which makes results look too good"
            )
    names = [[field.name for field in schema.fields] for schema in (theirs, ours)]
    if names[0] != names[1]:
        notes.append(
            f"note: the source has the fields {', '.join(names[0])}, this run "
            f"{', '.join(names[1])}: a layer over all fields is copied if its shape matches, even "
            "though its columns then belong to other fields"
        )
    return notes
