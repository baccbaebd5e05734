"""The example package, installed and found through its entry point."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PLUGIN = ROOT / "examples" / "plugin"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables of a process that finds the installed package."""
    folder = tmp_path_factory.mktemp("plugin")
    source, target = folder / "source", folder / "site"
    shutil.copytree(PLUGIN, source)  # building leaves files behind
    command = "-m pip install --quiet --disable-pip-version-check --no-deps --no-build-isolation"
    pip = [sys.executable, *command.split(), "--no-index", "--target", str(target), str(source)]
    done = subprocess.run(pip, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    paths = (str(target), str(ROOT), os.environ.get("PYTHONPATH", ""))
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "COLUMNS": "200"}


def run(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=environment,
        cwd=PLUGIN,
        capture_output=True,
        text=True,
        check=False,
    )
    assert not done.returncode, done.stdout + done.stderr
    return done.stdout


def test_its_model_is_listed_with_its_package(environment: dict[str, str]) -> None:
    listed = run(environment, "-m", "metaselector", "plugins")
    (line,) = (line for line in listed.splitlines() if " taste " in line)
    assert "metaselector-taste 0.1.0" in line
    assert "<taste[user], taste[item]>" in line


def test_its_model_is_created_and_its_own_test_passes(environment: dict[str, str]) -> None:
    program = """
import numpy as np
from metaselector.models import registry
from metaselector.data.planted import planted_world
schema = planted_world(2, 10, 4, np.random.default_rng(0)).dataset.schema
model = registry.build_base_model("taste", schema, {"user_field": "mood", "size": 2}, 0)
print(type(model).__module__, *model.taste.shape, schema.num_ids)
import runpy
runpy.run_path("tests/test_taste.py")["test_it_is_a_base_model"]()
"""
    module, rows, size, num_ids = run(environment, "-c", program).split()
    assert (module, size) == ("metaselector_taste.taste", "2")
    assert rows == num_ids
