"""Checkpoints: safetensors files with tensors, the settings they depend on, and a record."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metaselector.common.errors import CheckpointError, DamagedError
from metaselector.common.files import atomic_file
from metaselector.config.renamed import with_current_names

VERSION = 2
"""Format of files written now. Version 1, without version and checksum, can still be read."""


def save_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write `tensors` atomically, with a checksum of everything.

    Args:
        settings: everything the tensors depend on, as JSON; loading requires equal settings.
        record: facts about the training, such as its history, as JSON.
    """
    metadata = {"settings": json.dumps(settings, sort_keys=True), "record": json.dumps(record)}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata |= {"version": str(VERSION), "sha256": _checksum(contiguous, metadata)}
    with atomic_file(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # raised when the disk is full
            raise OSError(str(error)) from error


class Checksum:
    """SHA-256 over settings, record, and the name, dtype, shape and bytes of every tensor.

    Add tensors sorted by name, each in one chunk or several.

    Args:
        metadata: ``settings`` and ``record``, as JSON.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._digest = hashlib.sha256()
        for key in ("settings", "record"):
            self._digest.update(f"{key}={metadata[key]}\n".encode())

    def begin(self, name: str, tensor: Tensor) -> None:
        """Start the next tensor; adds its name, dtype and shape."""
        self._digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())

    def add(self, chunk: Tensor) -> None:
        """Add the tensor's next values, contiguous and on the CPU."""
        self._digest.update(chunk.reshape(-1).view(torch.uint8).numpy().data)  # [bytes]

    def __str__(self) -> str:
        return self._digest.hexdigest()


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    checksum = Checksum(metadata)
    for name in sorted(tensors):
        checksum.begin(name, tensors[name])
        checksum.add(tensors[name])
    return str(checksum)


class Checkpoint(NamedTuple):
    """Contents of a checkpoint file; see :func:`save_checkpoint`."""

    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    record: dict[str, Any]


Take = Callable[[Any, str, Checksum], Tensor | None]
"""``take(file, name, checksum)`` reads a tensor of an open file and adds all of it to the
checksum; None leaves it out."""


def take_whole(file: Any, name: str, checksum: Checksum) -> Tensor:
    """Read all of a tensor."""
    tensor: Tensor = file.get_tensor(name)
    checksum.begin(name, tensor)
    checksum.add(tensor)
    return tensor


def read_checkpoint(path: Path, take: Take = take_whole) -> Checkpoint:
    """Read a checkpoint without comparing its settings.

    Args:
        take: reads each tensor, sorted by name.

    Raises:
        CheckpointError: the file is missing, damaged, or written by a newer MetaSelector.
    """
    if not path.exists():
        raise CheckpointError(f"{path}: checkpoint not found; run the training step that writes it")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            version = int(metadata.get("version", 1))
            if version > VERSION:
                raise CheckpointError(
                    f"{path}: has format version {version}, but this MetaSelector reads versions "
                    f"up to {VERSION}; update MetaSelector, or train again"
                )
            checksum = Checksum(metadata)
            taken = {name: take(file, name, checksum) for name in sorted(file.keys())}
        if version > 1 and str(checksum) != metadata["sha256"]:
            raise ValueError("checksum mismatch")
        tensors = {name: tensor for name, tensor in taken.items() if tensor is not None}
        settings, record = (json.loads(metadata[key]) for key in ("settings", "record"))
        if not isinstance(settings, dict) or not isinstance(record, dict):
            raise ValueError("settings or record are not a mapping")
        return Checkpoint(tensors, with_current_names(settings)[0], record)
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise DamagedError(path, f"damaged or not a MetaSelector checkpoint ({error})") from error


def load_checkpoint(
    path: Path,
    settings: Mapping[str, Any],
    read: Callable[[Path], Checkpoint] = read_checkpoint,
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and record of a checkpoint trained with `settings`.

    Args:
        read: reads the file.

    Raises:
        CheckpointError: the file is missing, damaged, or was trained with different settings (the
            message names the first difference).
    """
    checkpoint = read(path)
    difference = first_difference(checkpoint.settings, json.loads(json.dumps(settings)))
    if difference:
        raise CheckpointError(
            f"{path}: was trained with different settings ({difference}); "
            "restore those settings, use another --run directory, or train again"
        )
    return checkpoint.tensors, checkpoint.record


def matches(
    path: Path,
    settings: Mapping[str, Any],
    read: Callable[[Path], Checkpoint] = read_checkpoint,
) -> bool:
    """Whether `path` holds a checkpoint trained with `settings`."""
    try:
        load_checkpoint(path, settings, read)
    except CheckpointError:
        return False
    return True


class CheckpointFiles(Protocol):
    """How checkpoints are written and read.

    Attributes:
        collective: whether all workers must call :meth:`save`; otherwise the first one does.
    """

    @property
    def collective(self) -> bool: ...

    def save(
        self,
        path: Path,
        tensors: Mapping[str, Tensor],
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
    ) -> None:
        """As :func:`save_checkpoint`."""

    def read(self, path: Path) -> Checkpoint:
        """As :func:`read_checkpoint`."""

    def read_record(self, path: Path) -> Checkpoint:
        """The same without tensors, which are checked all the same."""


class WholeFiles:
    """Checkpoints with whole tensors, of one process."""

    collective = False

    def save(
        self,
        path: Path,
        tensors: Mapping[str, Tensor],
        settings: Mapping[str, Any],
        record: Mapping[str, Any],
    ) -> None:
        save_checkpoint(path, tensors, settings, record)

    def read(self, path: Path) -> Checkpoint:
        return read_checkpoint(path)

    def read_record(self, path: Path) -> Checkpoint:
        return read_checkpoint(path)


def checkpoint_path(directory: Path, seed: int, name: str) -> Path:
    """Path of a checkpoint in the run directory `directory`."""
    return directory / "checkpoints" / f"seed-{seed}" / f"{name}.safetensors"


def first_difference(saved: Any, wanted: Any, key: str = "") -> str | None:
    """``key was X, now Y`` for the first setting that differs, or None; both come from JSON."""
    if isinstance(saved, dict) and isinstance(wanted, dict):
        for name in sorted({*saved, *wanted}):
            inner = f"{key}.{name}" if key else name
            difference = first_difference(saved.get(name), wanted.get(name), inner)
            if difference:
                return difference
        return None
    if saved == wanted:
        return None
    return f"{key} was {json.dumps(saved)}, now {json.dumps(wanted)}"
