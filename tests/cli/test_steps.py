"""Steps out of order, or with other settings: the mistake is told in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import Invoke, contents


@pytest.mark.parametrize("command", ["pretrain", "meta-train", "evaluate"])
def test_nothing_prepared(invoke: Invoke, tmp_path: Path, command: str) -> None:
    error = invoke(command, "--run", tmp_path / "run", "--set", "threads=1").error
    assert error.startswith(f"{tmp_path / 'run' / 'data' / 'schema.json'}: no prepared data set")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("jobs", [1, 2])
def test_nothing_pretrained(invoke: Invoke, prepared: Path, jobs: int) -> None:
    before = contents(prepared)
    done = invoke("meta-train", "--run", prepared, "--jobs", jobs)
    error = done.lone_error if jobs == 1 else done.error
    # With two processes, the first of two variants that miss their base models tells of it.
    windows = ["early"] if jobs == 1 else ["early", "train"]
    paths = [f"{prepared}/checkpoints/seed-0/base-lr-{each}.safetensors" for each in windows]
    assert error.startswith(tuple(f"{path}: checkpoint not found" for path in paths))
    assert contents(prepared) == before


def test_data_prepared_with_other_settings(invoke: Invoke, prepared: Path) -> None:
    before = contents(prepared)
    error = invoke("pretrain", "--run", prepared, "--set", "split.train=70").lone_error
    assert error.startswith(f"{prepared / 'data'}: prepared with split=(60, 80, 90)")
    assert contents(prepared) == before
    assert invoke("pretrain", "--run", prepared).code == 0  # the mistake was not remembered


@pytest.mark.parametrize("name", ["cells.npy", "task_labels.npy", "schema.json", "users.json"])
@pytest.mark.parametrize("kept", [None, 0, 60])
def test_damaged_prepared_data(invoke: Invoke, prepared: Path, name: str, kept: int | None) -> None:
    path = prepared / "data" / name
    data = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(data[:kept])
    error = invoke("pretrain", "--run", prepared).lone_error
    assert error.startswith(f"{path}: ")
    assert "metaselector data prepare" in error


def test_checkpoint_from_another_configuration(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    done = invoke("meta-train", "--run", pretrained, "--set", "base_models.fm.pretrain.epochs=3")
    assert done.lone_error == (
        f"{pretrained}/checkpoints/seed-0/base-fm-early.safetensors: was trained with different "
        "settings (base_models.fm.pretrain.epochs was 1, now 3); restore those settings, use "
        "another --run directory, or train again"
    )
    assert contents(pretrained) == before


def test_truncated_checkpoint(invoke: Invoke, pretrained: Path) -> None:
    path = pretrained / "checkpoints" / "seed-0" / "base-lr-train.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    error = invoke("meta-train", "--run", pretrained).lone_error
    assert error.startswith(f"{path}: damaged or not a MetaSelector checkpoint")


def test_nothing_meta_trained(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    error = invoke("evaluate", "--run", pretrained).error
    assert "sample-selector.safetensors: checkpoint not found" in error
    assert contents(pretrained) == before


def test_nothing_evaluated(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    error = invoke("analyse", "--run", pretrained).lone_error
    assert error.startswith(f"{pretrained / 'predictions.parquet'}: file not found")
    assert "run `metaselector evaluate` again" in error
    assert contents(pretrained) == before
