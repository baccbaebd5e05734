"""The benchmark of all stages at a tiny size."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from benchmarks import scale, scale_page
from benchmarks.measure import Cost
from benchmarks.synthetic_log import CANDIDATES, HISTORY, write_users
from metaselector.cli import app as metaselector
from metaselector.common.errors import UserError

ROWS, USERS = 2_000, 5
TINY = """\
base_models:
  lr: {pretrain: {epochs: 1}}
selector: {epochs: 1}
meta_train: {epochs: 1}
paper: {epochs: 1}
data: {history_length: 2}
adapt: {support_size: 5, finetune_rates: [0.1], finetune_steps: 1}
evaluate: {resamples: 20}
threads: 1
"""


@pytest.fixture
def in_this_process(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages run here, which saves their imports; returns their names as they run."""
    names: list[str] = []

    def cost_of(arguments: list[str]) -> Cost:
        names.append(" ".join(arguments[: 2 if arguments[0] == "data" else 1]))
        metaselector(arguments, standalone_mode=False)
        return Cost(1.5, 200.0, 2.5)

    monkeypatch.setattr(scale, "cost_of", cost_of)
    return names


def measure(folder: Path, *, again: bool = False, keep: bool = False) -> dict[str, object]:
    config = folder / "tiny.yaml"
    config.write_text(TINY)
    scale.main([ROWS], USERS, 1, config, folder / "work", folder / "results", again, keep)
    found: dict[str, object] = json.loads((folder / "results" / "scale.json").read_text())
    return found


@pytest.mark.filterwarnings("ignore:.*:UserWarning")
def test_every_stage_is_measured_and_a_complete_size_is_not_measured_again(
    tmp_path: Path, in_this_process: list[str]
) -> None:
    found = measure(tmp_path, keep=True)
    stages = found["stages"][str(ROWS)]  # type: ignore[index]
    assert tuple(stages) == scale.STAGES
    for name, figures in stages.items():
        assert (figures["seconds"], figures["cpu_seconds"]) == (1.5, 2.5)
        # This process holds more, as the stages that measure their parts find.
        measured = name in ("pretrain", "meta-train", "evaluate")
        assert figures["peak_mb"] > 200 if measured else figures["peak_mb"] == 200, name
        if name in ("prepare", "pretrain", "meta-train", "evaluate", "save"):
            assert figures["disk_mb"] > 0, name
    assert 0 < stages["report"]["page_mb"] < 3
    predicted = pq.read_metadata(tmp_path / "work" / str(ROWS) / "predicted/predictions.parquet")
    assert predicted.num_rows == USERS * CANDIDATES
    assert in_this_process == ["data prepare", *scale.STAGES[1:]]
    assert f"{ROWS:,} rows" in (tmp_path / "results" / "scale.md").read_text()
    measure(tmp_path)
    assert len(in_this_process) == len(scale.STAGES)


def test_an_interrupted_size_continues(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def cost_of(arguments: list[str]) -> Cost:
        if arguments[0] == "analyse" and "analyse" not in ran:
            ran.append("analyse")
            raise UserError("no luck")
        ran.append(arguments[0])
        run = tmp_path / "work" / str(ROWS) / "run"
        run.mkdir(exist_ok=True)
        (run / "report.html").write_text("page")
        return Cost(1.5, 200.0, 2.5)

    monkeypatch.setattr(scale, "cost_of", cost_of)
    with pytest.raises(UserError, match="no luck"):
        measure(tmp_path)
    before = len(ran)
    found = measure(tmp_path, keep=True)
    assert ran[before:] == ["analyse", "report", "save", "predict"]
    assert tuple(found["stages"][str(ROWS)]) == scale.STAGES  # type: ignore[index]
    assert (tmp_path / "work" / str(ROWS) / "log").exists()  # kept
    measure(tmp_path, again=True)
    assert ran[-len(scale.STAGES) :] == ["data", *scale.STAGES[1:]]


def test_processes_share_training_and_evaluation(tmp_path: Path) -> None:
    size = scale.Size(ROWS, tmp_path, jobs=2)
    asked = {name: arguments for name, arguments, _ in size.stages(tmp_path / "c.yaml")}
    assert asked["pretrain"][-2:] == asked["meta-train"][-2:] == ["--jobs", "2"]
    assert asked["evaluate"][-2:] == ["--workers", "2"]


def test_figures_of_other_numbers_of_processes_do_not_count() -> None:
    found = {"stages": {"7": {}}, "users": 5, "jobs": 2}
    assert scale.comparable(found, 5, 2) == {"7": {}}
    assert scale.comparable(found, 5, 1) == scale.comparable(found, 6, 2) == {}
    assert scale.comparable({"stages": {"7": {}}, "users": 5}, 5, 1) == {"7": {}}
    assert scale.comparable({}, 5, 2) == {}


def test_what_an_interrupted_training_left_is_trained_again(tmp_path: Path) -> None:
    folder = tmp_path / "checkpoints" / "seed-0"
    names = ("base-lr-early.safetensors", "metaselector.safetensors")
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("")
    (folder / "metaselector.unfinished").mkdir()
    (folder / "metaselector.unfinished" / "1.safetensors").write_text("")
    scale.forget_trained(tmp_path, "evaluate")
    assert len([*folder.iterdir()]) == 3
    scale.forget_trained(tmp_path, "meta-train")
    assert [path.name for path in folder.iterdir()] == [names[0]]
    scale.forget_trained(tmp_path, "pretrain")
    assert not [*folder.iterdir()]


def test_a_training_is_no_part_of_evaluation(tmp_path: Path) -> None:
    """Evaluation corrects its seconds."""
    columns = "stage,seed,seconds,peak_mb"
    trained = ("pretrain lr (early),0,2,9000", "train metaselector,0,3,9000")
    (tmp_path / "stages.csv").write_text("\n".join((columns, *trained, "support curve,,5,400\n")))
    assert scale.parts(tmp_path, "evaluate") == {("support curve", 5.0, 400.0)}
    assert len(scale.parts(tmp_path, "meta-train")) == 3


def test_users_come_after_the_log_and_candidates_after_their_history(tmp_path: Path) -> None:
    write_users(tmp_path / "users", 3, ROWS)
    history = pq.read_table(tmp_path / "users" / "history.parquet").to_pandas()
    asked = pq.read_table(tmp_path / "users" / "candidates.parquet").to_pandas()
    assert history.groupby("user_id").size().to_dict() == dict.fromkeys("012", HISTORY)
    assert asked.groupby("user_id").size().to_dict() == dict.fromkeys("012", CANDIDATES)
    assert history["timestamp"].max() < asked["timestamp"].min()
    assert [*history.columns.drop("clicked")] == [*asked.columns]


def test_growth_is_the_power_of_the_largest_two_sizes() -> None:
    def stages(*costs: float) -> scale_page.Stages:
        sizes = ("100", "1000", "100000")
        return {rows: {"save": {"seconds": cost}} for rows, cost in zip(sizes, costs, strict=False)}

    assert scale_page.growth(stages(5, 1, 100), "save", "seconds") == "rows^1.0"
    assert scale_page.growth(stages(1), "save", "seconds") == ""
    assert scale_page.growth(stages(1, 0), "save", "seconds") == ""


def test_the_page_says_whether_other_work_ran() -> None:
    stage = {"seconds": 1.0, "peak_mb": 2.0, "disk_mb": 3.0, "load": 1.5}
    found = {
        "stages": {"1000": {"prepare": stage}},
        "users": 5,
        "jobs": 2,
        "command": "scale",
        "machine": {"processor": "one", "cores": 2},
    }
    assert "nothing else ran" in scale_page.page(found)
    stage["load"] = 6.0
    made = scale_page.page(found)
    assert "Other work ran" in made
    assert "| prepare | 2 |" in made
