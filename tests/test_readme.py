"""The lines of the README that bring one's own data, as they stand there."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

ROOT = Path(__file__).parents[1]
SECTION = (ROOT / "README.md").read_text(encoding="utf-8").partition("## Your own data")[2]


def block(language: str) -> str:
    """The section's first block in a language."""
    return SECTION.partition(f"```{language}\n")[2].partition("```")[0]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the examples, as in a clone."""
    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    return folder


def test_the_schema_shown_is_the_one_in_the_examples() -> None:
    shipped = (ROOT / "examples" / "shop" / "shop.yaml").read_text(encoding="utf-8")
    assert yaml.safe_load(block("yaml")) == yaml.safe_load(shipped)


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
    assert auc.between(0.5, 1).all()
    assert (shop / "runs" / "shop" / "figures" / "comparison.png").exists()
