"""What programs read: JSON on standard output, and a quiet standard error."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pandas as pd
import pytest

from .conftest import Invoke
from .test_help import COMMANDS as GROUPS_TOO

ROOT = Path(__file__).parents[2]
COMMANDS = {n: command for n, command in GROUPS_TOO.items() if not hasattr(command, "commands")}


def with_option(flag: str) -> set[str]:
    """The commands that have an option."""
    return {n for n, command in COMMANDS.items() if any(flag in p.opts for p in command.params)}


@pytest.fixture
def evaluated(invoke: Invoke, raw: Path, settings: Path, tmp_path: Path) -> Path:
    run = tmp_path / "run"
    command = ("reproduce", "--run", run, "--data", raw, "--config", settings)
    done = invoke(*command, "--json", "--quiet")
    assert (done.code, done.err) == (0, "")
    found = json.loads(done.out)
    assert found.keys() == {"run", "results", "differences", "files"}
    assert found["run"] == str(run)
    return run


@pytest.mark.slow
def test_results_of_a_run(invoke: Invoke, evaluated: Path, tmp_path: Path) -> None:
    done = invoke("evaluate", "--run", evaluated, "--json")
    found = json.loads(done.out)
    results = pd.read_csv(evaluated / "results.csv")
    assert [row["model"] for row in found["results"]] == results["model"].tolist()
    for row, auc in zip(found["results"], results["auc"], strict=True):
        assert row["folder"] == "."
        assert row["auc"] is None if pd.isna(auc) else row["auc"] == pytest.approx(auc)
    assert len(found["differences"]) == len(pd.read_csv(evaluated / "differences.csv"))
    assert all(Path(path).exists() for path in found["files"])
    assert "evaluate" in done.err  # progress

    done = invoke("headroom", "--run", evaluated, "--json", "--quiet", "--resamples", 2)
    assert done.err == ""
    rows = json.loads(done.out)["headroom"]
    assert len(rows) == len(pd.read_csv(evaluated / "headroom.csv"))
    assert {row["file"] for row in rows} == {str(evaluated / "headroom.csv")}

    found = json.loads(invoke("analyse", "--run", evaluated, "--json", "--quiet").out)
    assert found["run"] == str(evaluated)
    assert str(evaluated / "analysis" / "summary.md") in found["files"]
    assert all(Path(path).exists() for path in found["files"])
    page = tmp_path / "page.html"
    done = invoke("report", evaluated, "--output", page, "--json", "--quiet")
    assert done.err == ""
    size = page.stat().st_size
    assert json.loads(done.out) == {"bytes": size, "no_users": {}, "files": [str(page)]}

    card = json.loads(invoke("card", evaluated, "--json").out)
    (row,) = card["metrics"]
    ours = results.set_index("model").loc["metaselector"]
    assert row["logloss"] == pytest.approx(ours["logloss"])


@pytest.mark.slow
def test_a_saved_model_predicts_and_has_a_card(
    invoke: Invoke, evaluated: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved"
    done = invoke("save", "--run", evaluated, "--output", saved)
    assert done.out == f"{saved}\n{saved / 'MODEL_CARD.md'}\n"
    again = tmp_path / "again"
    done = invoke("save", "--run", evaluated, "--output", again, "--json", "--quiet")
    assert json.loads(done.out) == {"files": [str(again), str(again / "MODEL_CARD.md")]}
    text = (saved / "MODEL_CARD.md").read_text()
    assert invoke("card", saved).out == text == invoke("card", evaluated).out
    assert "| . | lr | " in text
    assert "is a saved model already" in invoke("save", "--run", saved, "--output", "x").lone_error

    history = tmp_path / "history.csv"
    history.write_text("user,item,rating,timestamp\nu1,i1,5,880000000\nu1,i2,2,880000100\n")
    done = invoke("predict", "--run", saved, "--history", history, "--items", 3, "--quiet")
    assert done.err == ""
    assert done.out.splitlines()[0].startswith("user,item,timestamp,probability,weight_lr")
    assert len(done.out.splitlines()) == 1  # there are no other items in this history


def test_quiet_leaves_warnings_and_errors(invoke: Invoke, prepared: Path) -> None:
    assert "already done" not in invoke("pretrain", "--run", prepared, "--quiet").err
    again = invoke("pretrain", "--run", prepared)
    assert again.err.count("already done") == 6
    assert invoke("pretrain", "--run", prepared, "--quiet").err == ""
    wrong = invoke("pretrain", "--run", prepared, "--quiet", "--set", "adapt.stepz=1")
    assert "did you mean 'steps'?" in wrong.lone_error


def test_quiet_hides_notes(invoke: Invoke, tmp_path: Path) -> None:
    (tmp_path / "old.yaml").write_text("adapt: {theta_rate: 0.25}\n")
    command = ("pretrain", "--run", tmp_path / "run", "--config", tmp_path / "old.yaml")
    assert "note: " in invoke(*command).err
    assert "no prepared data" in invoke(*command, "--quiet").lone_error


@pytest.mark.parametrize("command", [("config",), ("plugins", "--json")])
def test_lists_without_notes(invoke: Invoke, tmp_path: Path, command: tuple[str, ...]) -> None:
    old = tmp_path / "old.yaml"
    old.write_text("adapt: {theta_rate: 0.25}\n")
    noted = invoke(*command, "--config", old)
    assert noted.err.startswith("note: ")
    assert invoke(*command, "--config", old, "--quiet") == (0, noted.out, "")


def test_every_command_can_be_quiet() -> None:
    assert set(COMMANDS) - with_option("--quiet") == set()


def test_the_page_lists_the_commands_that_print_json() -> None:
    page = " ".join((ROOT / "docs" / "reference" / "command-line.md").read_text("utf-8").split())
    listed = page.partition("`--json` of ")[2].partition(" prints JSON")[0]
    assert set(re.findall("`(.+?)`", listed)) == with_option("--json")


def test_the_draft_prints_the_next_command(invoke: Invoke, tmp_path: Path) -> None:
    log, schema = tmp_path / "a log.csv", tmp_path / "a shop.yaml"
    log.write_text("user_id,item_id,timestamp,rating\nann,1,1600000000,5\nbob,2,1600000001,1\n")
    done = invoke("data", "schema", log, "--output", schema)
    checks = schema.read_text().count("  # check: ")
    *notes, last = done.err.splitlines()
    assert notes == [f"note: look at {checks} of its lines, which are marked `# check:`"]
    assert last.endswith(f"reproduce --dataset '{schema}'")
