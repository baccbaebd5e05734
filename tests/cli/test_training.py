"""Training base models: from a file, from another run, by a strategy."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from .conftest import Invoke

POPULARITY = Path(__file__).parents[2] / "examples" / "popularity.py"


def test_a_base_model_from_a_file(invoke: Invoke, prepared: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POPULARITY.read_text())
    option = ("--base-model", f"{file}:Popularity")
    assert invoke("pretrain", "--run", prepared, *option).code == 0
    checkpoints = {path.name for path in (prepared / "checkpoints" / "seed-0").iterdir()}
    assert {f"base-{m}-train.safetensors" for m in ("lr", "fm", "popularity")} <= checkpoints
    assert f"model: {file}:Popularity" in (prepared / "config.yaml").read_text()
    again = invoke("pretrain", "--run", prepared, *option)
    assert again.err.count("already done with the same settings") == 9

    file.write_text(file.read_text() + "# edited\n")
    again = invoke("pretrain", "--run", prepared, "--allow-code")
    assert again.err.count("already done with the same settings") == 6
    error = invoke("meta-train", "--run", prepared, "--base-model", f"{file}:Popularity").err
    assert "No such option" in error


@pytest.mark.parametrize(
    ("text", "attribute", "problem"),
    [
        (None, ":Mine", "cannot read the file of Mine"),
        ("", "", "--base-model mine: expected path/to/file.py:Class"),
        ("", ":Mine", "no class 'Mine' in this file"),
        ("from base_models import LR\n", ":LR", "another base model is called 'lr'"),
    ],
)
def test_a_wrong_base_model_from_a_file(
    invoke: Invoke, tmp_path: Path, text: str | None, attribute: str, problem: str
) -> None:
    file = tmp_path / "mine.py"
    if text is not None:
        file.write_text(text)
    given = f"{file}{attribute}" if attribute else "mine"
    run = tmp_path / "run"
    done = invoke("reproduce", "--run", run, "--data", tmp_path, "--base-model", given)
    assert problem in done.lone_error
    assert not run.exists()


@pytest.mark.parametrize(
    ("given", "answer"),
    [
        ("deepfn", "; a base model without a file is added with --set base_models.NAME={}; did "
         "you mean 'deepfm'?"),
        ("deepfm", "; a base model without a file is added with --set base_models.deepfm={}"),
        ("models/deepfn", ""),
    ],
)  # fmt: skip
def test_a_name_in_place_of_a_file(invoke: Invoke, tmp_path: Path, given: str, answer: str) -> None:
    error = invoke("pretrain", "--run", tmp_path / "run", "--base-model", given).lone_error
    assert error == f"--base-model {given}: expected path/to/file.py:Class{answer}"


def test_a_misspelt_base_model_is_found_before_data_are_prepared(
    invoke: Invoke, raw: Path, tmp_path: Path
) -> None:
    run = tmp_path / "new"
    model = ["--set", "base_models.lrr.pretrain.epochs=1"]
    done = invoke("reproduce", "--run", run, "--data", raw, *model)
    assert done.lone_error == "unknown base model 'lrr'; did you mean 'lr'?"
    assert not (run / "data").exists()


def test_base_models_start_from_another_run(
    invoke: Invoke, pretrained: Path, raw: Path, settings: Path, tmp_path: Path
) -> None:
    run = tmp_path / "target"
    assert invoke("data", "prepare", "--run", run, "--data", raw, "--config", settings).code == 0
    options = ("--init-from", pretrained, "--freeze", "*.embedding.*", "--unfreeze-after", 1)
    done = invoke("pretrain", "--run", run, *options)
    assert done.code == 0, done.err
    assert re.search(r"fm\.embedding\.weight .* by word .* (\d+) of \1 ", done.out)
    assert done.out.endswith(f"{run / 'transfer.csv'}\n")
    saved = (run / "config.yaml").read_text()
    assert f"init_from: {pretrained}" in saved
    assert "unfreeze_every: 1" in saved
    again = invoke("pretrain", "--run", run)  # with the settings that were saved
    assert again.err.count("already done with the same settings") == 6

    error = invoke("pretrain", "--run", run, "--freeze", "fm.embeding.*").error
    assert error.startswith(
        "transfer.freeze: pattern 'fm.embeding.*' matches no parameter; did you"
    )
    error = invoke("pretrain", "--run", tmp_path / "run", "--freeze", "*").lone_error
    assert "freeze needs init_from" in error


def test_base_models_side_by_side(invoke: Invoke, prepared: Path) -> None:
    done = invoke("pretrain", "--run", prepared, "--jobs", 2)
    assert done.code == 0, done.err
    assert "seed 0: fm (full)" in done.err
    made = {path.name for path in (prepared / "checkpoints" / "seed-0").glob("*.safetensors")}
    windows = ("early", "train", "full")
    assert made == {f"base-{name}-{of}.safetensors" for name in ("lr", "fm") for of in windows}
    again = invoke("pretrain", "--run", prepared, "--jobs", 1)
    assert again.err.count("already done with the same settings") == 6


def test_strategies_of_training_base_models(invoke: Invoke, prepared: Path) -> None:
    done = invoke("pretrain", "--run", prepared, "--strategy", "mutual")
    assert done.code == 0, done.err
    assert "pretrain lr + fm (train)" in done.err
    assert "strategy: mutual" in (prepared / "config.yaml").read_text()
    again = invoke("pretrain", "--run", prepared)  # with the settings that were saved
    assert again.err.count("already done with the same settings") == 3
    alone = invoke("pretrain", "--run", prepared, "--strategy", "independent")
    assert "pretrain fm (full)" in alone.err
    error = invoke("pretrain", "--run", prepared, "--strategy", "mutal").lone_error
    assert error == "peer_learning.strategy: 'mutal' is not known; did you mean 'mutual'?"
