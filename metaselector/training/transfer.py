"""Starting base models from those that another run trained on other data.

What is indexed by ids is carried over word by word: the row of a word of a field goes to the row of
the same word of the field of the same name. Words are compared as text, so that user 5 of one data
set is taken for user 5 of the other. The source must not have been trained on what this run
validates or tests with; of two splits of the same data set, :func:`overlap` warns.
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
"""In a run's directory: :class:`Transferred` of every base model, with seed and window."""

How = Literal["by word", "copied", "new"]


class Transferred(NamedTuple):
    """What became of one parameter.

    Attributes:
        parameter: its name.
        how: by word of its rows; copied as a whole; or new: the source has none of this shape.
        rows: how many rows along the first axis came from the source.
        of: how many it has.
    """

    parameter: str
    how: How
    rows: int
    of: int


class TransferSource:
    """Another run: its data and its trained base models.

    Args:
        directory: of the run.

    Raises:
        DataError: its prepared data is missing or damaged.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._digests: dict[tuple[str, Window, int], str] = {}

    @cached_property
    def dataset(self) -> EncodedDataset:
        return EncodedDataset.load(self.directory / "data")

    def tensors(self, name: str, window: Window, seed: int) -> dict[str, Tensor]:
        """What a base model has learned.

        Raises:
            CheckpointError: it is missing or damaged, or was trained on other data than are there.
        """
        path = checkpoint_path(self.directory, seed, f"base-{name}-{window}")
        if not path.exists():
            raise CheckpointError(
                f"transfer.init_from: {path}: no such checkpoint; pretrain base model '{name}' "
                f"with seed {seed} in that run, or leave the model or the seed out of this one"
            )
        found = read_checkpoint(path)
        if found.settings.get("data_sha256") != self.dataset.digest():
            raise CheckpointError(
                f"transfer.init_from: {path}: was not trained on the data in {self.directory}/data;"
                " pretrain that run again"
            )
        return found.tensors

    def digest(self, name: str, window: Window, seed: int) -> str:
        """SHA-256 of what a base model has learned, and of the data that say what its rows mean."""
        key = (name, window, seed)
        if key not in self._digests:
            sha = hashlib.sha256(self.dataset.digest().encode())
            for parameter, tensor in sorted(self.tensors(*key).items()):
                sha.update(f"{parameter} {tuple(tensor.shape)} {tensor.dtype}".encode())
                sha.update(tensor.numpy().tobytes())
            self._digests[key] = sha.hexdigest()
        return self._digests[key]


def source_rows(source: Schema, target: Schema) -> NDArray[np.int64]:
    """For each id of `target` the one that means the same in `source`, -1 where there is none.

    Padding is padding, a field's word for unseen words that of the field of the same name.

    Returns:
        int64 ``[V]`` of `target`.
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
    """Start `model`, in place, from what a model of another run has learned.

    Rows of ``model.tables`` that the source has no word for stay as they were initialised, and so
    does every parameter that the source has not, or has in another shape.

    Args:
        tensors: the source's, by name.
        rows: of :func:`source_rows`.
        num_ids: V of the source.
    """
    tables: Sequence[str] = getattr(model, "tables", ())
    known = torch.from_numpy(rows >= 0)
    taken = torch.from_numpy(rows[rows >= 0])
    report = []
    for name, parameter in model.named_parameters():
        of = parameter.shape[0] if parameter.ndim else 1
        found = tensors.get(name)
        if found is None or found.ndim != parameter.ndim:
            report.append(Transferred(name, "new", 0, of))
        elif name in tables and found.shape[1:] == parameter.shape[1:] and len(found) == num_ids:
            parameter[known.to(parameter.device)] = found[taken].to(parameter)
            report.append(Transferred(name, "by word", len(taken), of))
        elif name not in tables and found.shape == parameter.shape:
            parameter.copy_(found)
            report.append(Transferred(name, "copied", of, of))
        else:
            report.append(Transferred(name, "new", 0, of))
    return report


def overlap(source: EncodedDataset, target: EncodedDataset) -> list[str]:
    """What a user should know before trusting this transfer, one sentence each."""
    notes = []
    ours, theirs = target.schema, source.schema
    split = (ours.windows, ours.cold_seed), (theirs.windows, theirs.cold_seed)
    if ours.dataset == theirs.dataset and split[0] != split[1]:
        shared = len(set(source.user_names) & set(target.user_names))
        if shared:
            notes.append(
                f"warning: the source is {theirs.dataset} too, split otherwise, and has {shared:,} "
                f"of the {target.num_users:,} users: it may have been trained on rows that this "
                "run validates or tests with; results are then too good"
            )
    names = [[field.name for field in schema.fields] for schema in (theirs, ours)]
    if names[0] != names[1]:
        notes.append(
            f"note: the source's fields are {', '.join(names[0])}, this run's "
            f"{', '.join(names[1])}: a layer that reads them side by side is copied where its "
            "shape is the same, although its columns then stand for other fields"
        )
    return notes
