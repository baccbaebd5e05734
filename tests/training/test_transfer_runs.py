"""Runs that start from the base models of another run."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from rich.console import Console
from safetensors.torch import load_file
from torch import Tensor

from metaselector.common.errors import CheckpointError, ConfigError
from metaselector.common.progress import Silent
from metaselector.config import Config, change_config, load_config
from metaselector.report.terminal import print_transfer
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.training.checkpoint import checkpoint_path
from metaselector.training.transfer import source_rows

CONFIG = load_config(
    overrides=["threads=1", "base_models.lr.pretrain.epochs=2", "base_models.fm.pretrain.epochs=3"]
)
CONFIG = CONFIG.model_copy(
    update={"base_models": {name: CONFIG.base_models[name] for name in ("lr", "fm")}}
)
BASE = ("train", "full")


def better(ratings: np.ndarray) -> np.ndarray:
    return np.where(np.arange(ratings.shape[1]) % 3 == 0, 5.0, ratings)


class Notes(Silent):
    def __init__(self) -> None:
        self.skips: list[str] = []

    def skipped(self, description: str) -> None:
        self.skips.append(description)


@pytest.fixture(scope="module")
def made(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a pretrained run `source`, and one of other labels, prepared: `target`."""
    folder = tmp_path_factory.mktemp("transfer")
    for name, flip in (("source", None), ("target", better)):
        run = Run(folder / name, CONFIG)
        prepare_run(run, write_world(folder / f"raw-{name}", flip), folder)
    pretrain_base_models(Run(folder / "source", CONFIG), Silent())
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    for name in ("source", "target"):
        shutil.copytree(made / name, tmp_path / name)
    return tmp_path


def target(folder: Path, **settings: object) -> Run:
    transfer = {"init_from": str(folder / "source"), **settings}
    return Run(folder / "target", changed({"transfer": transfer}))


def changed(settings: dict[str, object]) -> Config:
    return change_config(CONFIG, settings)


def learned(run: Run, name: str, window: str) -> dict[str, Tensor]:
    return load_file(checkpoint_path(run.directory, 0, f"base-{name}-{window}"))


def test_a_run_starts_from_another(folder: Path) -> None:
    run = target(folder)
    pretrain_base_models(run, Silent())
    table = pd.read_csv(run.directory / "transfer.csv")
    assert list(table) == ["seed", "model", "window", "parameter", "how", "rows", "of"]
    assert len(table) == 3 * (2 + 3)
    of_fm = table[table["model"] == "fm"]
    same = source_rows(run.source.dataset.schema, run.dataset.schema) >= 0  # type: ignore[union-attr]
    line = of_fm[of_fm["parameter"] == "embedding.weight"].iloc[0]
    assert tuple(line[["how", "rows", "of"]]) == ("by word", same.sum(), len(same))
    plain = Run(folder / "plain", CONFIG)
    shutil.copytree(folder / "target" / "data", plain.data_directory)
    pretrain_base_models(plain, Silent())
    for window in BASE:
        ours, others = learned(run, "fm", window), learned(plain, "fm", window)
        assert not torch.equal(ours["linear.bias"], others["linear.bias"])
    shown = io.StringIO()
    print_transfer(run.directory, Console(width=100, file=shown))
    text = shown.getvalue()
    assert text.count("fm.embedding.weight") == 1
    assert f"{same.sum()} of {len(same)}" in text


def test_what_was_trained_from_the_same_source_is_kept(folder: Path) -> None:
    run = target(folder)
    pretrain_base_models(run, Silent())
    before = (run.directory / "transfer.csv").read_bytes()
    moved = folder / "elsewhere"
    shutil.copytree(folder / "source", moved)
    again, notes = Run(run.directory, changed({"transfer.init_from": str(moved)})), Notes()
    pretrain_base_models(again, notes)
    assert len(notes.skips) == 6
    assert (run.directory / "transfer.csv").read_bytes() == before
    # Another seed's models have other weights: the checkpoints of the target are then out of date.
    path = checkpoint_path(moved, 0, "base-fm-train")
    source = Run(moved, changed({"base_models.fm.pretrain.learning_rate": 0.1}))
    path.unlink()
    pretrain_base_models(source, Silent(), ("train",))
    changed_source, notes = Run(run.directory, again.config), Notes()
    pretrain_base_models(changed_source, notes, ("early", "train"))
    assert [skip.removeprefix("seed 0: pretrain ") for skip in notes.skips] == [
        "lr (early)",
        "lr (train)",
        "fm (early)",
    ]


def test_without_a_source_checkpoints_are_those_of_before(folder: Path) -> None:
    run = Run(folder / "source", CONFIG)
    assert run.checkpoints.has_base("fm", "train", 0)
    assert not target(folder).checkpoints.has_base("fm", "train", 0)
    made_with = run.checkpoints.base_file("fm", "train", 0)[1]
    assert "transfer" not in made_with


def test_frozen_parameters_stay_what_the_source_had(folder: Path) -> None:
    run = target(folder, freeze=["fm.linear.*", "lr.linear.bias"])
    pretrain_base_models(run, Silent())
    source = Run(folder / "source", CONFIG)
    rows = torch.from_numpy(source_rows(source.dataset.schema, run.dataset.schema))
    for window in BASE:
        theirs, ours = learned(source, "fm", window), learned(run, "fm", window)
        known = rows >= 0
        for name in ("linear.weight", "embedding.weight"):
            same = torch.equal(ours[name][known], theirs[name][rows[known]])
            assert same == (name == "linear.weight")
        fresh = dict(run.checkpoints.new_base("fm", 0).named_parameters())["linear.weight"]
        assert torch.equal(ours["linear.weight"][~known], fresh[~known])
        assert torch.equal(
            learned(run, "lr", window)["linear.bias"], learned(source, "lr", window)["linear.bias"]
        )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": ["fm.embeding.weight"]}, "did you mean 'fm.embedding.weight'"),
        ({"freeze": ["lr.*"]}, "freezes every parameter of base model 'lr'"),
        ({"init_from": "{folder}/target"}, "is this run itself; name another run"),
    ],
)
def test_settings_that_cannot_be(
    folder: Path, settings: dict[str, str | list[str]], message: str
) -> None:
    filled = {
        key: value.format(folder=folder) if isinstance(value, str) else value
        for key, value in settings.items()
    }
    with pytest.raises(ConfigError, match=message):
        pretrain_base_models(target(folder, **filled), Silent())
    assert not (folder / "target" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"freeze": ["*.bias"]}, "transfer: .*freeze needs init_from"),
        ({"init_from": "a", "unfreeze_every": 2}, "transfer: .*unfreeze_every needs freeze"),
        ({"init_form": "a"}, "did you mean 'init_from'"),
    ],
)
def test_settings_that_do_not_fit(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        changed({"transfer": settings})


def test_a_source_without_the_seed(folder: Path) -> None:
    run = target(folder)
    other = Run(run.directory, run.config.model_copy(update={"seeds": (7,)}))
    with pytest.raises(CheckpointError, match="pretrain base model 'lr' with seed 7 in that run"):
        pretrain_base_models(other, Silent())


def test_a_source_whose_data_was_prepared_again(folder: Path) -> None:
    shutil.rmtree(folder / "source" / "data")
    shutil.copytree(folder / "target" / "data", folder / "source" / "data")
    with pytest.raises(CheckpointError, match=r"was not trained on the data in .*source/data"):
        pretrain_base_models(target(folder), Silent())
