"""The lines of README and docs that bring one's own data, or use Python, as they stand there."""

from __future__ import annotations

import os
import re
import runpy
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from metaselector import MetaSelector
from metaselector.common.errors import UnknownWarning
from metaselector.config import Config, change_config

ROOT = Path(__file__).parents[1]
OWN_DATA = (ROOT / "docs" / "how-to" / "data.md", "Your own data")
FILMS = ("50", "181", "1", "172", "258", "288")
FROM_PYTHON = (ROOT / "README.md", "From Python")


def block(language: str, place: tuple[Path, str] = OWN_DATA) -> str:
    """The first block in a language of a page's section."""
    page, section = place
    text = page.read_text(encoding="utf-8").partition(f"## {section}")[2]
    return text.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, as in a clone."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def test_the_schema_shown_is_the_one_in_the_examples() -> None:
    shipped = (ROOT / "examples" / "shop" / "shop.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(block("yaml")) == yaml.safe_load(shipped)


@pytest.mark.slow
def test_the_walk_through_runs_from_raw_files_to_the_table(shop: Path) -> None:
    commands = block("sh")
    assert commands.count("metaselector ") == 3
    programs = str(Path(sys.executable).parent)
    done = subprocess.run(
        ["bash", "-e", "-c", commands],
        cwd=shop,
        env={**os.environ, "PATH": programs + os.pathsep + os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stderr
    assert "interactions: " in done.stdout  # the draft
    assert "1,545" in done.stdout  # the profile
    results = pd.read_csv(shop / "runs" / "shop" / "results.csv")
    assert set(results["dataset"]) == {"shop"}
    auc = results.set_index("model")["auc"]
    assert auc.drop(index=["headroom", "chance"]).between(0.5, 1).all()
    assert (shop / "runs" / "shop" / "figures" / "comparison.png").exists()


def test_the_python_example_runs(
    write_world: Callable[..., Path],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a tiny world, with few epochs."""
    world, fit = write_world(tmp_path / "world"), MetaSelector.fit
    quick = {f"base_models.{name}.pretrain.epochs": 1 for name in Config().base_models}
    small = change_config(
        Config(),
        quick
        | {
            "meta_train.epochs": 1,
            "selector.epochs": 1,
            "paper.epochs": 1,
            "evaluate.resamples": 2,
            "threads": 1,
        },
    )

    def fit_small(model: MetaSelector, dataset: str) -> MetaSelector:
        return fit(model.set_params(config=small), dataset, data=world)

    monkeypatch.setattr(MetaSelector, "fit", fit_small)
    monkeypatch.setattr("metaselector.runs.stages.evaluate_seed.usable_combiners", dict)
    monkeypatch.chdir(tmp_path)
    for path in (world / "ml-100k.inter", world / "ml-100k.item"):  # with the films of the example
        text = path.read_text()
        for film, known in zip(map("i{}".format, range(6)), FILMS, strict=True):
            text = re.sub(rf"\b{film}\t", f"{known}\t", text)
        path.write_text(text)
    example = tmp_path / "example.py"
    example.write_text(block("python", FROM_PYTHON), encoding="utf-8")
    with pytest.warns(UnknownWarning, match="someone new"):
        names = runpy.run_path(str(example))
    shown = capsys.readouterr().out
    for word in ("logloss", "metaselector-simplified", "deepfm"):
        assert word in shown
    assert names["model"].config == small
    assert names["user"].weights.shape == (3, 5)
    candidates = pd.DataFrame({"item": ["172", "258", "288"], "timestamp": 889_000_300})
    with pytest.warns(UnknownWarning):
        again = MetaSelector.load("models/films").adapt(names["history"])
    assert np.array_equal(again.predict(candidates), names["user"].predict(candidates))


def test_the_output_shown_has_a_probability_and_weights_per_candidate() -> None:
    probabilities, header, *weights = block("text", FROM_PYTHON).splitlines()
    p = np.array([float(word) for word in probabilities.strip("[]").split()])
    assert p.shape == (3,)
    assert ((p > 0) & (p < 1)).all()
    assert header.split() == list(Config().base_models)
    for line in weights:
        assert sum(map(float, line.split()[1:])) == pytest.approx(1, abs=0.02)
