"""The command for the long tables, on a tiny world."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
import pytest
import torch
import yaml

from benchmarks import tables
from benchmarks.data_facts import FACTS_FILE
from benchmarks.long_table import MADE_WITH, TABLE
from metaselector.common.errors import UserError

ROOT = Path(__file__).parents[2]
SETTINGS = """
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
adapt: {support_size: 5}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 20}
threads: 1
"""


class Made(NamedTuple):
    """Arguments of the command, its run and its results."""

    arguments: list[str]
    run: Path
    output: Path


@pytest.fixture(scope="module")
def made(
    write_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("tables")
    (folder / "tiny.yaml").write_text(SETTINGS)
    options = {
        "--protocol": "warm",
        "--seeds": "2",
        "--run": str(folder / "run"),
        "--data": str(write_world(folder / "raw")),
        "--config": str(folder / "tiny.yaml"),
        "--output": str(folder / "results"),
    }
    arguments = [part for option in options.items() for part in option]
    command = [sys.executable, "-m", "benchmarks.tables", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert not done.returncode, done.stderr
    before = torch.get_num_threads()
    yield Made(arguments, folder / "run", folder / "results" / "movielens-100k-warm")
    torch.set_num_threads(before)


def test_the_tables_and_what_they_come_from_are_kept(made: Made) -> None:
    kept = {*TABLE, *MADE_WITH, "rivals.csv"}
    assert {path.name for path in made.output.iterdir()} == {*kept, FACTS_FILE}
    for name in kept:
        assert (made.output / name).read_bytes() == (made.run / name).read_bytes()


def test_results_are_of_the_first_seeds(made: Made) -> None:
    results = pd.read_csv(made.output / "results.csv")
    assert set(results["seed"]) == {0, 1}
    differences = pd.read_csv(made.output / "differences.csv")
    assert (differences["n_seeds"] == 2).all()
    assert differences.drop(columns=["p", "p_holm", "p_floor"]).notna().all(axis=None)
    summary = (made.output / "summary.md").read_text(encoding="utf-8")
    assert "Seeds 0, 1;" in summary
    assert "metaselector − row" in summary


def test_settings_and_environment_say_how_to_make_them_again(made: Made) -> None:
    settings = yaml.safe_load((made.output / "config.yaml").read_text())
    assert settings["seeds"] == [0, 1]
    assert settings["adapt"]["support_size"] == 5
    made_with = json.loads((made.output / "environment.json").read_text())
    arguments = ["--protocol", "warm", "--seeds", "2", "--data", "raw", "--config", "tiny.yaml"]
    expected = shlex.join(["python", "-m", "benchmarks.tables", *arguments])
    assert made_with["command"] == expected  # without folders of this machine
    assert f"Command: `{expected}`" in (made.output / "summary.md").read_text(encoding="utf-8")


def test_every_stage_has_its_costs(made: Made) -> None:
    stages = pd.read_csv(made.output / "stages.csv", keep_default_na=False, na_values=[""])
    assert list(stages.columns) == ["stage", "seed", "seconds", "peak_mb"]
    assert stages["stage"][0] == "prepare data"
    assert stages[["seconds", "peak_mb"]].notna().all(axis=None) or sys.platform == "win32"
    by_seed = stages.dropna(subset="seed").groupby("seed")["stage"].agg(set)
    windows = ("early", "train", "full")
    trained = {f"pretrain {name} ({window})" for name in ("lr", "fm") for window in windows}
    assert set(by_seed.index) == {0, 1}
    for names in by_seed:
        assert trained | {"train sample-selector", "train metaselector"} <= names
    others = set(stages.loc[stages["seed"].isna(), "stage"])
    assert {"evaluate warm-chronological", "bootstrap over users"} <= others
    made_with = json.loads((made.output / "environment.json").read_text())
    training = stages.loc[stages["stage"].str.contains("train"), "seconds"].sum()
    assert training == pytest.approx(made_with["training_seconds"], abs=1)


def test_a_second_time_uses_the_checkpoints(made: Made) -> None:
    checkpoints = sorted(made.run.rglob("*.safetensors"))
    assert checkpoints
    before = [path.stat().st_mtime_ns for path in checkpoints]
    results = (made.output / "results.csv").read_bytes()
    stages = pd.read_csv(made.output / "stages.csv").set_index(["stage", "seed"])
    tables.app(made.arguments, standalone_mode=False)
    assert [path.stat().st_mtime_ns for path in checkpoints] == before
    assert (made.output / "results.csv").read_bytes() == results
    again = pd.read_csv(made.output / "stages.csv").set_index(["stage", "seed"])
    assert again.index.equals(stages.index)
    trained = stages.index.get_level_values("stage").str.startswith(("train ", "pretrain "))
    pd.testing.assert_frame_equal(again[trained], stages[trained])


@pytest.mark.parametrize("option", [{"only": ["movielens-100k-warm"]}, {"summary_only": True}])
def test_options_of_the_suite_need_it(option: dict[str, Any]) -> None:
    with pytest.raises(UserError, match="need --suite"):
        tables.main(**option)


def test_the_suite_takes_no_options_of_a_single_table() -> None:
    with pytest.raises(UserError, match="--protocol is for a single table; choose with --only"):
        tables.main(suite=True, protocol="cold")


def test_an_unknown_protocol_is_named_before_anything_is_made(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="--protocol wam: unknown protocol; did you mean 'warm'"):
        tables.main(protocol="wam", run=tmp_path / "run", output=tmp_path / "results")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_new_users_have_a_table_for_every_support(
    write_world: Callable[[Path], Path], tmp_path: Path
) -> None:
    (tmp_path / "tiny.yaml").write_text(SETTINGS + "cold: {support_sizes: [3, 6]}\n")
    before = torch.get_num_threads()
    tables.main(
        protocol="cold",
        seeds=1,
        run=tmp_path / "run",
        data=write_world(tmp_path / "raw"),
        config=tmp_path / "tiny.yaml",
        output=tmp_path / "results",
    )
    torch.set_num_threads(before)
    kept = tmp_path / "results" / "movielens-100k-cold"
    found = {str(path.relative_to(kept)) for path in kept.rglob("*.*")}
    of_sizes = {f"support-{n}/{file}" for n in (3, 6) for file in (*TABLE, "rivals.csv")}
    own = {"support.csv", "summary.md", "summary.tex", *MADE_WITH, FACTS_FILE}
    assert found == {*own, *of_sizes}
    assert set(pd.read_csv(kept / "support.csv")["support_size"]) == {3, 6}
