"""Trained tensors on disk."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file

from metaselector.common.errors import CheckpointError
from metaselector.training.checkpoint import (
    load_checkpoint,
    matches,
    read_checkpoint,
    save_checkpoint,
)

SETTINGS = {"seed": 0, "split": {"train": 80, "valid": 90}, "windows": (1, 2), "name": "fm"}
RECORD = {"epochs": 3, "history": [{"epoch": 1, "valid_loss": None, "train_loss": 0.1}]}
TENSORS = {
    "weight": torch.arange(6.0).reshape(2, 3).T,  # not contiguous
    "bias": torch.tensor([0.1], dtype=torch.float64),
}


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    path = tmp_path / "deep" / "model.safetensors"
    save_checkpoint(path, TENSORS, SETTINGS, RECORD)
    return path


def test_round_trip(saved: Path) -> None:
    tensors, record = load_checkpoint(saved, SETTINGS)
    assert record == RECORD
    assert tensors.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert tensors[name].dtype == tensor.dtype
        assert torch.equal(tensors[name], tensor)


def test_parameters_can_be_saved(tmp_path: Path) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    save_checkpoint(tmp_path / "x.safetensors", {"p": parameter}, {}, {})
    tensors, _ = load_checkpoint(tmp_path / "x.safetensors", {})
    assert torch.equal(tensors["p"], parameter)
    assert not tensors["p"].requires_grad


def test_no_tensors_are_fine(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "x.safetensors", {}, SETTINGS, RECORD)
    assert load_checkpoint(tmp_path / "x.safetensors", SETTINGS) == ({}, RECORD)


def test_the_order_of_settings_does_not_matter(saved: Path) -> None:
    assert matches(saved, dict(reversed(SETTINGS.items())))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 1}, r"seed was 0, now 1\);"),
        ({"split": {"train": 70, "valid": 90}}, r"split.train was 80, now 70\);"),
        ({"split": {"train": 70, "valid": 80}}, r"split.train was 80, now 70\);"),
        ({"split": None}, r'split was {"train": 80, "valid": 90}, now null\);'),
        ({"windows": (1, 3)}, r"windows was \[1, 2\], now \[1, 3\]\);"),
        ({"another": "x"}, r'another was null, now "x"\);'),
    ],
)
def test_another_configuration_is_named_by_its_first_difference(
    saved: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(saved, SETTINGS | change)
    assert str(caught.value).startswith(f"{saved}: was trained with different settings (")
    assert "\n" not in str(caught.value)
    assert not matches(saved, SETTINGS | change)


def test_a_setting_less_is_another_configuration(saved: Path) -> None:
    with pytest.raises(CheckpointError, match='name was "fm", now null'):
        load_checkpoint(saved, {k: v for k, v in SETTINGS.items() if k != "name"})


@pytest.mark.parametrize("kept", [0, 4, 20, -1])
def test_truncated_file(saved: Path, kept: int) -> None:
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=r"damaged .*train it again") as caught:
        load_checkpoint(saved, SETTINGS)
    assert str(saved) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("garbage", [b"not a checkpoint", b"\x00" * 100, b"\xff" * 100])
def test_garbage(saved: Path, garbage: bytes) -> None:
    saved.write_bytes(garbage)
    with pytest.raises(CheckpointError, match="damaged or not a MetaSelector checkpoint"):
        load_checkpoint(saved, SETTINGS)
    assert not matches(saved, SETTINGS)


@pytest.mark.parametrize(
    "metadata",
    [None, {"settings": "{}"}, {"settings": "{", "record": "{}"}],
    ids=["none", "no record", "not JSON"],
)
def test_a_file_of_someone_else(tmp_path: Path, metadata: dict[str, str] | None) -> None:
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file({"x": torch.ones(1)}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="damaged or not a MetaSelector checkpoint"):
        load_checkpoint(path, SETTINGS)


def test_a_bit_that_has_changed(saved: Path) -> None:
    content = bytearray(saved.read_bytes())
    content[-1] ^= 1  # of a tensor: safetensors itself sees nothing wrong
    saved.write_bytes(content)
    with pytest.raises(CheckpointError, match="checksum mismatch"):
        load_checkpoint(saved, SETTINGS)


def written_as(path: Path, **metadata: str) -> Path:
    from safetensors.torch import save_file

    texts = {"settings": json.dumps(SETTINGS), "record": json.dumps(RECORD)}
    save_file({"x": torch.ones(1)}, path, metadata=texts | metadata)
    return path


def test_the_first_version_had_no_checksum(tmp_path: Path) -> None:
    tensors, record = load_checkpoint(written_as(tmp_path / "old.safetensors"), SETTINGS)
    assert torch.equal(tensors["x"], torch.ones(1))
    assert record == RECORD


def test_a_version_to_come(tmp_path: Path) -> None:
    path = written_as(tmp_path / "new.safetensors", version="3", sha256="x")
    with pytest.raises(CheckpointError, match=r"has format version 3, but this .* up to 2"):
        load_checkpoint(path, SETTINGS)


@pytest.mark.parametrize("version", ["two", ""])
def test_a_version_that_is_none(tmp_path: Path, version: str) -> None:
    with pytest.raises(CheckpointError, match="damaged or not"):
        load_checkpoint(written_as(tmp_path / "x.safetensors", version=version), SETTINGS)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="checkpoint not found; run the training step"):
        load_checkpoint(tmp_path / "none.safetensors", SETTINGS)
    assert not matches(tmp_path / "none.safetensors", SETTINGS)


def test_saving_again_replaces(saved: Path) -> None:
    save_checkpoint(saved, {"other": torch.zeros(1)}, {}, {})
    assert load_checkpoint(saved, {})[0].keys() == {"other"}
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]


@pytest.mark.parametrize("text", ["[]", "3", "[" * 100_000, "null"])
@pytest.mark.parametrize("key", ["settings", "record"])
def test_settings_and_record_are_mappings(tmp_path: Path, key: str, text: str) -> None:
    path = tmp_path / "model.safetensors"
    metadata = {"settings": "{}", "record": "{}", key: text}  # of version 1, without a checksum
    save_file({"a": torch.ones(1)}, path, metadata=metadata)
    with pytest.raises(CheckpointError, match="damaged or not a MetaSelector checkpoint"):
        read_checkpoint(path)
