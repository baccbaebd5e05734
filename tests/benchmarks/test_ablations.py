"""The ablation command on a tiny world."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
import torch

from benchmarks import ablations
from metaselector.common.errors import ConfigError, UserError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import reproduce

SETTINGS = """
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
adapt: {support_size: 5, finetune_rates: [0.1]}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 20}
threads: 1
"""
CHANGES = """
queries:
  rows: [metaselector]
  settings:
    seen: {learn_on: train}
    nothing: {}
    not refitted: {test_with: train}
    folds: {learn_on: cross-fitted, adapt.residuals.enabled: false}
selector:
  rows: [metaselector-simplified, metaselector]
  settings:
    one step: {adapt.steps: 1}
"""


class Made(NamedTuple):
    """Arguments of the command, the run it starts from, and its table by row and change."""

    arguments: dict[str, Path]
    run: Path
    table: pd.DataFrame


@pytest.fixture(scope="module")
def made(
    write_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Made]:
    folder = tmp_path_factory.mktemp("ablations")
    (folder / "tiny.yaml").write_text(SETTINGS)
    (folder / "changes.yaml").write_text(CHANGES)
    run = folder / "run"
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    reproduce(
        Run(run, load_config(folder / "tiny.yaml")), write_world(folder / "raw"), folder, Silent()
    )
    arguments = {
        "run": run,
        "changes": folder / "changes.yaml",
        "config": folder / "tiny.yaml",
        "output": folder / "results",
    }
    ablations.main(seeds=1, data=None, only=None, **arguments)
    yield Made(arguments, run, table(folder))
    torch.set_num_threads(before)


def table(folder: Path, of: str = ".") -> pd.DataFrame:
    found = pd.read_csv(folder / "results" / "movielens-100k-ablations" / of / "ablations.csv")
    return found.set_index(["row", "change"])


def test_no_change_gives_the_rows_of_the_table(made: Made) -> None:
    results = pd.read_csv(made.run / "results.csv").set_index("model")
    for row in ("metaselector-simplified", "metaselector"):
        for change in (ablations.UNCHANGED, *["nothing"] * (row == "metaselector")):
            line = made.table.loc[(row, change)]
            assert line["logloss"] == pytest.approx(results.loc[row, "logloss"], abs=1e-7)
            assert line["auc"] == pytest.approx(results.loc[row, "auc"], abs=1e-9)
            assert line["difference"] == line["low"] == line["high"] == 0


def test_every_change_is_trained_for_the_rows_of_its_group(made: Made) -> None:
    joint = [ablations.UNCHANGED, "seen", "nothing", "not refitted", "folds", "one step"]
    assert list(made.table.loc["metaselector"].index) == joint
    simplified = [ablations.UNCHANGED, "one step"]
    assert list(made.table.loc["metaselector-simplified"].index) == simplified


def test_changes_change_what_they_say(made: Made) -> None:
    lines = made.table.loc["metaselector"]
    plain = lines.loc[ablations.UNCHANGED]
    assert lines.loc["not refitted", "valid_logloss"] == plain["valid_logloss"]
    assert lines.loc["not refitted", "logloss"] != plain["logloss"]
    for change in ("seen", "folds", "one step"):
        assert lines.loc[change, "valid_logloss"] != plain["valid_logloss"]
    for change, line in lines.iterrows():
        difference = line["logloss"] - plain["logloss"]
        assert line["difference"] == pytest.approx(difference, abs=1e-6), change


def test_what_was_trained_is_used_again(made: Made) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.run.rglob("*.safetensors")}
    base_models = {path.parent for path in before if path.name.startswith("base-")}
    assert base_models == {made.run / "checkpoints" / "seed-0"}
    ablations.main(seeds=1, data=None, only=None, **made.arguments)
    assert {path: path.stat().st_mtime_ns for path in before} == before
    assert table(made.run.parent).equals(made.table)


def test_some_changes_of_several_seeds_have_a_table_of_their_own(made: Made) -> None:
    before = table(made.run.parent)
    ablations.main(seeds=2, data=None, only=["one step"], **made.arguments)
    assert table(made.run.parent).equals(before)
    found = table(made.run.parent, "2-seeds")
    assert set(found.index.get_level_values("change")) == {ablations.UNCHANGED, "one step"}
    assert set(found["seeds"]) == {2}
    joint = found.loc["metaselector"]
    assert (joint["logloss_std"] > 0).all()
    assert joint.loc[ablations.UNCHANGED, "difference_std"] == 0
    assert joint.loc["one step", "difference_std"] > 0
    page = made.run.parent / "results" / "movielens-100k-ablations" / "2-seeds" / "ablations.md"
    assert f" ± {joint.loc['one step', 'difference_std']:.4f}" in page.read_text(encoding="utf-8")
    with pytest.raises(UserError, match=r"unknown change 'one stop'; did you mean 'one step'"):
        ablations.main(seeds=2, data=None, only=["one stop"], **made.arguments)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: {settings: {}}", "a: needs the keys rows and settings"),
        ("a: {rows: [metaselektor], settings: {}}", "a: unknown row 'metaselektor'; did you mean"),
        (
            "a: {rows: [metaselector], settings: {b: {learn_on: valid}}}",
            "a: b: learn_on: unknown",
        ),
        ("a: {rows: [metaselector], settings: {b: {adapt.step: 1}}}", "a: b: .*adapt.step"),
    ],
)
def test_wrong_changes_are_named_before_anything_is_made(
    tmp_path: Path, text: str, message: str
) -> None:
    (tmp_path / "changes.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        ablations.main(
            run=tmp_path / "run",
            seeds=1,
            only=None,
            changes=tmp_path / "changes.yaml",
            data=None,
            output=tmp_path / "results",
        )
    assert [path.name for path in tmp_path.iterdir()] == ["changes.yaml"]


def test_the_changes_in_the_repository_are_possible() -> None:
    base = Run(Path("nowhere"), load_config(ablations.CONFIG))
    for change in ablations.load_changes(ablations.CHANGES):
        assert (
            ablations._run_of(base, change).config != base.config
            or change.learn_on != "early"
            or (change.test_with == "train")
        )
