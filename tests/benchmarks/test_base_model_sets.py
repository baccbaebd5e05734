"""The comparison of sets of base models on a tiny world."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks import base_model_sets
from benchmarks.base_model_sets_figures import VARIANTS
from metaselector.common.errors import UserError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models

SETTINGS = """
threads: 1
base_models:
  lr: {pretrain: {epochs: 2}}
  fm: {pretrain: {epochs: 1}}
  twin: {model: lr, pretrain: {epochs: 2, weight_decay: 1.0e-5, weight_decay_rows: 100000}}
  even: {scores: {file: %(raw)s/even.csv}}
  odd: {scores: {file: %(raw)s/odd.csv}}
adapt: {support_size: 5, finetune_rates: [0.1]}
meta_train: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 50}
"""
SETS = ["lr+fm", "lr+twin", "lr+fm+twin", "even+odd"]
RIGHT, WRONG = 0.8, 0.4
"""Probability of the label that occurs, by the model that is right for a user and the other."""


class Made(NamedTuple):
    """Arguments of the command, and its table."""

    arguments: dict[str, Any]
    table: pd.DataFrame

    def value(self, each: str, window: str, figure: str, n: int | None = None) -> float:
        rows = self.table.query("set == @each and window == @window and figure == @figure")
        rows = rows[rows["models"].isna() | (rows["models"] == each)]
        (found,) = rows["value"] if n is None else rows.loc[rows["n"] == n, "value"]
        return float(found)


@pytest.fixture(scope="module")
def made(
    write_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("sets")
    raw = write_world(folder / "raw")
    plant(raw)
    (folder / "tiny.yaml").write_text(SETTINGS % {"raw": raw})
    before = torch.get_num_threads()
    arguments = {
        "dataset": "movielens-100k",
        "run": folder / "run",
        "seeds": 1,
        "models": SETS,
        "config": folder / "tiny.yaml",
        "data": raw,
        "output": folder / "results",
    }
    base_model_sets.main(**arguments)
    yield Made(arguments, read(folder))
    torch.set_num_threads(before)


def plant(raw: Path) -> None:
    """Score files of two models, one right for even users and one for odd users."""
    rows = pd.read_csv(raw / "ml-100k.inter", sep="\t")
    positive = rows["rating:float"] >= 4
    even = rows["user_id:token"].str[1:].astype(int) % 2 == 0
    for name, is_right in (("even", even), ("odd", ~even)):
        p = np.where(is_right, RIGHT, WRONG)
        scores = pd.DataFrame({"row": np.arange(len(rows)), "score": np.where(positive, p, 1 - p)})
        scores.to_csv(raw / f"{name}.csv", index=False)


def read(folder: Path) -> pd.DataFrame:
    return pd.read_csv(folder / "results" / "movielens-100k.csv")


@pytest.mark.parametrize("window", ["valid", "test"])
def test_headroom_of_planted_differences_is_found(made: Made, window: str) -> None:
    best = (-math.log(RIGHT) - math.log(WRONG)) / 2
    assert made.value("even+odd", window, "best-single") == pytest.approx(best, rel=1e-4)
    # Users' differences are +-d, which the figure takes for normal: E|N(0, d^2)| / 2.
    d = math.log(RIGHT / WRONG)
    expected = d * math.sqrt(2 / math.pi) / 2
    for figure, n in (("perfect-knowledge", None), ("evidence", 5), ("evidence", 40)):
        assert made.value("even+odd", window, figure, n) == pytest.approx(expected, rel=0.03)


@pytest.mark.parametrize("window", ["valid", "test"])
def test_equal_models_leave_nothing_to_select(made: Made, window: str) -> None:
    assert made.value("lr+twin", window, "perfect-knowledge") == pytest.approx(0, abs=1e-9)
    single = made.value("lr+twin", window, "best-single")
    assert made.value("lr+twin", window, "uniform-logloss") == pytest.approx(single, rel=1e-5)
    table = made.table.query("set == 'lr+fm+twin' and window == @window and figure == 'added'")
    added = table.set_index("models")["value"]
    of_all = made.value("lr+fm+twin", window, "perfect-knowledge")
    nothing = pytest.approx(0, abs=0.01 * of_all)  # the figure's own error is 0.5 %
    assert of_all > 0
    assert added["lr"] == nothing
    assert added["twin"] == nothing
    assert added["fm"] > 0.1 * of_all


def test_losses_are_those_of_a_run_of_its_own(made: Made, tmp_path: Path) -> None:
    config = load_config(made.arguments["config"])
    kept = {name: config.base_models[name] for name in ("lr", "fm")}
    run = Run(tmp_path / "own", config.model_copy(update={"base_models": kept}))
    prepare_run(run, made.arguments["data"], tmp_path)
    pretrain_base_models(run, Silent())
    meta_train_selectors(run, Silent(), VARIANTS)
    (split,) = run.protocol.evaluation_splits
    for variant in VARIANTS:
        found = run.checkpoints.load_adapted(variant, 0).predict(run.dataset, split.test)
        measured = made.value("lr+fm", "test", f"{variant}-logloss")
        assert measured == pytest.approx(found.loss(), rel=1e-5)
        history = run.checkpoints.learned_record(variant, 0).history
        kept_epoch = min(epoch["valid_loss"] for epoch in history)
        measured = made.value("lr+fm", "valid", f"{variant}-logloss")
        assert measured == pytest.approx(kept_epoch, rel=1e-5)


def test_sets_are_compared_with_the_first(made: Made) -> None:
    for window in ("valid", "test"):
        for metric in ("logloss", "gauc"):
            first = made.value(SETS[0], window, f"metaselector-{metric}")
            for each in SETS:
                found = made.value(each, window, f"difference-{metric}")
                own = made.value(each, window, f"metaselector-{metric}")
                assert found == pytest.approx(own - first, abs=1e-5)


def test_base_models_are_shared_and_what_was_trained_is_used_again(made: Made) -> None:
    folder: Path = made.arguments["run"]
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")}
    bases = sorted(path.name for path in before if path.name.startswith("base-"))
    assert len(bases) == len(set(bases)) == 9  # lr, fm, twin; early, train, full
    base_model_sets.main(**made.arguments)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*.safetensors")} == before
    pd.testing.assert_frame_equal(read(folder.parent), made.table)


def test_the_page_has_every_set_and_its_seconds(made: Made) -> None:
    text = (made.arguments["output"] / "movielens-100k.md").read_text(encoding="utf-8")
    for each in SETS:
        assert text.count(f"\n| {each} |") == 5
    value = made.value("even+odd", "valid", "perfect-knowledge")
    single = made.value("even+odd", "valid", "best-single")
    assert f"| even+odd | {single:.4f} | {value:.4f} [" in text
    seconds = made.table[made.table["figure"] == "seconds-meta-training"].set_index("set")["value"]
    assert (seconds > 0).all()
    assert (made.arguments["output"] / "environment.json").exists()


def test_without_lightgbm_its_sets_are_skipped(
    made: Made,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(base_model_sets, "find_spec", lambda name: None)
    changed = {"models": ["fm+lr", "lr+lightgbm"], "output": tmp_path / "results"}
    base_model_sets.main(**made.arguments | changed)
    assert "skipped lr+lightgbm: lightgbm is not installed" in capsys.readouterr().out
    assert set(read(tmp_path)["set"]) == {"lr+fm"}


def test_an_unknown_model_is_named_before_anything_is_trained(made: Made, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"--models lr\+fn: no base model 'fn'; did you mean 'fm'"):
        base_model_sets.main(**made.arguments | {"models": ["lr+fn"], "run": tmp_path / "new"})
    assert not (tmp_path / "new").exists()


def test_the_sets_of_the_page_name_models_of_the_settings() -> None:
    settings = load_config(
        base_model_sets.CONFIG, changes={"base_models": {"lightgbm": base_model_sets.LIGHTGBM}}
    )
    assert tuple(base_model_sets._usable(base_model_sets.SETS, settings)) == base_model_sets.SETS
    default = load_config()
    assert base_model_sets.SETS[0] == "+".join(default.base_models)
    for name, model in default.base_models.items():
        assert settings.base_models[name] == model
