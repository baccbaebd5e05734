"""Records of trained parts, and checkpoints with wrong content despite a valid checksum."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from metaselector.common.errors import CheckpointError
from metaselector.config import load_config
from metaselector.inference.trained import TrainedModel
from metaselector.meta.parameters import LearnedRecord, MetaParameters
from metaselector.meta.variants import make_adaptation
from metaselector.runs.checkpoints import Checkpoints
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.training.checkpoint import save_checkpoint
from metaselector.training.pretrain import Pretrained

SETTINGS = """
base_models: {lr: {}, fm: {options: {embedding_size: 2}}}
selector: {hidden_size: 2, embedding_size: 2}
adapt: {steps: 1}
threads: 1
"""
RECORD: dict[str, Any] = {"epochs": 1, "history": [], "seconds": 1.0}


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run with untrained base models under an untrained selector."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "settings.yaml").write_text(SETTINGS)
    run = Run(folder / "run", load_config(folder / "settings.yaml"))
    prepare_run(run, write_world(folder / "raw"), folder)
    for name in run.config.base_models:
        run.checkpoints.save_base(
            name, "full", 0, run.checkpoints.new_base(name, 0), Pretrained(**RECORD)
        )
    return run


def test_records_are_read_without_building_a_model(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Checkpoints, "new_base", None)
    assert run.checkpoints.base_record("fm", "full", 0) == Pretrained(**RECORD)
    with pytest.raises(CheckpointError, match="checkpoint not found"):
        run.checkpoints.training_seconds()  # *early* and *train* are missing


def test_meta_parameters_and_their_record(run: Run) -> None:
    history = [{"epoch": 0, "train_loss": None, "valid_loss": 0.7}]
    learned = MetaParameters({}, {}, {}, history, [], 0, 2.0)
    run.checkpoints.save_learned("sample-selector", 0, learned)
    assert run.checkpoints.learned_record("sample-selector", 0) == LearnedRecord(
        history, [], 0, 2.0
    )
    assert run.checkpoints.load_learned("sample-selector", 0) == learned
    path, settings = run.checkpoints.learned_file("sample-selector", 0)
    save_checkpoint(path, {}, settings, {"epochs": 1})
    with pytest.raises(CheckpointError, match="not written by meta-training"):
        run.checkpoints.learned_record("sample-selector", 0)


Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]
BASE: dict[str, tuple[Change, dict[str, Any], str]] = {
    "nan": (lambda t: {n: x * torch.nan for n, x in t.items()}, {}, "holds non-finite numbers"),
    "integers": (lambda t: {n: x.long() for n, x in t.items()}, {}, "is int64, not float32"),
    "missing": (lambda t: {}, {}, "has no '"),
    "unknown": (lambda t: t | {"other": torch.ones(1)}, {}, "has 'other', which"),
    "record": (lambda t: t, {"weights": 1}, "its record is not a base model's"),
}


@pytest.mark.parametrize("case", BASE)
def test_a_wrong_base_model_is_refused(run: Run, case: str) -> None:
    change, extra, problem = BASE[case]
    path, settings = run.checkpoints.base_file("fm", "full", 0)
    kept = path.read_bytes()
    tensors = change(run.checkpoints.new_base("fm", 0).state_dict())
    save_checkpoint(path, tensors, settings, RECORD | extra)
    try:
        with pytest.raises(CheckpointError, match=rf"base-fm-full\.safetensors: .*{problem}"):
            run.checkpoints.load_base("fm", "full", 0)
    finally:
        path.write_bytes(kept)


LEARNED: dict[str, tuple[Change, str]] = {
    "nan": (lambda t: {n: x * torch.nan for n, x in t.items()}, "holds non-finite numbers"),
    "no part": (lambda t: t | {"other": torch.ones(1)}, "'other' is none of phi/..., shift/"),
    "unknown phi": (lambda t: t | {"phi/other": torch.ones(1)}, r"learned 'other' \[1\], which"),
    "shape": (
        lambda t: {n: x[:1] if n.startswith("phi/") else x for n, x in t.items()},
        r"meta-training learned 'selector\.",
    ),
    "rate": (lambda t: {n: x for n, x in t.items() if "alpha" not in n}, "inner rates has no '"),
}


@pytest.mark.parametrize("case", [None, *LEARNED])
def test_wrong_meta_parameters_are_refused(run: Run, case: str | None) -> None:
    mixture = run.checkpoints.load_mixture("full", 0)
    parameters = dict(mixture.named_parameters())
    phi = {name: p for name, p in parameters.items() if name.startswith("selector.")}
    alpha = make_adaptation("metaselector", mixture, run.config).initial_rates(parameters)
    tensors = MetaParameters(phi, {}, alpha).tensors()
    path, settings = run.checkpoints.learned_file("metaselector", 0)
    record = {"history": [], "rates": [], "best_epoch": 0, "seconds": 1.0}
    if case is None:
        save_checkpoint(path, tensors, settings, record)
        TrainedModel.of_run(run)
        return
    change, problem = LEARNED[case]
    save_checkpoint(path, change(tensors), settings, record)
    with pytest.raises(CheckpointError, match=problem):
        TrainedModel.of_run(run)
