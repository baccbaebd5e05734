"""Trained tensors on disk: safetensors with the settings that made them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from metaselector.common.errors import CheckpointError, DamagedError
from metaselector.common.files import atomic_file
from metaselector.config.renamed import with_current_names

VERSION = 2
"""Of the files that are written. Version 1 had neither a version nor a checksum; both are read."""


def save_checkpoint(
    path: Path,
    tensors: Mapping[str, Tensor],
    settings: Mapping[str, Any],
    record: Mapping[str, Any],
) -> None:
    """Write `tensors` atomically, with a checksum of everything.

    Args:
        settings: everything the tensors depend on; loading asks for the same (JSON).
        record: what is worth knowing about the training, such as its history (JSON).
    """
    metadata = {"settings": json.dumps(settings, sort_keys=True), "record": json.dumps(record)}
    contiguous = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    metadata |= {"version": str(VERSION), "sha256": _checksum(contiguous, metadata)}
    with atomic_file(path) as temporary:
        try:
            save_file(contiguous, temporary, metadata=metadata)
        except SafetensorError as error:  # a full disk arrives as this
            raise OSError(str(error)) from error


class Checksum:
    """SHA-256 of settings and record, and of names, types, shapes and bytes of tensors.

    Tensors come in the order of their names, each in one piece or several.

    Args:
        metadata: ``settings`` and ``record``, as JSON.
    """

    def __init__(self, metadata: Mapping[str, str]) -> None:
        self._digest = hashlib.sha256()
        for key in ("settings", "record"):
            self._digest.update(f"{key}={metadata[key]}\n".encode())

    def begin(self, name: str, tensor: Tensor) -> None:
        """The next tensor, of which only type and shape count."""
        self._digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}\n".encode())

    def add(self, piece: Tensor) -> None:
        """Its next numbers; contiguous, on the CPU."""
        self._digest.update(piece.reshape(-1).view(torch.uint8).numpy().data)  # [bytes]

    def __str__(self) -> str:
        return self._digest.hexdigest()


def _checksum(tensors: Mapping[str, Tensor], metadata: Mapping[str, str]) -> str:
    checksum = Checksum(metadata)
    for name in sorted(tensors):
        checksum.begin(name, tensors[name])
        checksum.add(tensors[name])
    return str(checksum)


class Checkpoint(NamedTuple):
    """What a file holds; settings and record as of :func:`save_checkpoint`."""

    tensors: dict[str, Tensor]
    settings: dict[str, Any]
    record: dict[str, Any]


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a checkpoint, whatever settings made it.

    Raises:
        CheckpointError: the file is missing or damaged, or of a version to come.
    """
    if not path.exists():
        raise CheckpointError(
            f"{path}: no such checkpoint; run the training step that writes it first"
        )
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            version = int(metadata.get("version", 1))
            if version > VERSION:
                raise CheckpointError(
                    f"{path}: has version {version} of the format, this MetaSelector reads up to "
                    f"{VERSION}; update MetaSelector, or train it again"
                )
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        if version > 1 and _checksum(tensors, metadata) != metadata["sha256"]:
            raise ValueError("its checksum differs")
        settings, record = (json.loads(metadata[key]) for key in ("settings", "record"))
        if not isinstance(settings, dict) or not isinstance(record, dict):
            raise ValueError("its settings or its record are not a mapping")
        return Checkpoint(tensors, with_current_names(settings)[0], record)
    except (SafetensorError, OSError, KeyError, ValueError, RecursionError) as error:
        raise DamagedError(path, f"damaged or not a MetaSelector checkpoint ({error})") from error


def load_checkpoint(
    path: Path, settings: Mapping[str, Any]
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read tensors and record.

    Raises:
        CheckpointError: the file is missing, damaged, or was made with other settings (named).
    """
    found = read_checkpoint(path)
    difference = first_difference(found.settings, json.loads(json.dumps(settings)))
    if difference:
        raise CheckpointError(
            f"{path}: made with another configuration: {difference}; "
            "use that configuration, another --run directory, or train again"
        )
    return found.tensors, found.record


def matches(path: Path, settings: Mapping[str, Any]) -> bool:
    """Whether `path` holds a checkpoint made with `settings`."""
    try:
        load_checkpoint(path, settings)
    except CheckpointError:
        return False
    return True


def checkpoint_path(directory: Path, seed: int, name: str) -> Path:
    """Where the run in `directory` keeps a checkpoint."""
    return directory / "checkpoints" / f"seed-{seed}" / f"{name}.safetensors"


def first_difference(made_with: Any, wanted: Any, key: str = "") -> str | None:
    """``key was X, now Y`` of the first setting that differs, or None; both come from JSON."""
    if isinstance(made_with, dict) and isinstance(wanted, dict):
        for name in sorted({*made_with, *wanted}):
            inner = f"{key}.{name}" if key else name
            found = first_difference(made_with.get(name), wanted.get(name), inner)
            if found:
                return found
        return None
    if made_with == wanted:
        return None
    return f"{key} was {json.dumps(made_with)}, now {json.dumps(wanted)}"
