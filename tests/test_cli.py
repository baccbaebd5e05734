"""The command line: help, start-up, and mistakes told in one line."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
import typer
from typer.testing import CliRunner

from metaselector.cli import app, main
from metaselector.data.registry import DATASETS
from metaselector.stages import prepare as prepare_stage

TINY = """
base_models:
  lr: {pretrain: {epochs: 1}}
  fm: {pretrain: {epochs: 1}}
selector: {hidden_size: 4}
adapt: {support_size: 5}
meta_train: {epochs: 1}
evaluate: {resamples: 2}
threads: 1
"""
HEADER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"

WriteWorld = Callable[..., Path]
Invoke = Callable[..., "Done"]


class Done(NamedTuple):
    code: object
    out: str
    err: str

    @property
    def error(self) -> str:
        """The one line of a user's mistake, after whatever progress was shown before it."""
        assert self.code == 2, self.err
        assert "Traceback" not in self.err
        *shown, last = self.err.splitlines()
        assert last.startswith("error: ")
        assert not any(line.startswith("error: ") for line in shown)
        return last.removeprefix("error: ")

    @property
    def lone_error(self) -> str:
        """The one line on standard error."""
        assert self.err.count("\n") == 1, self.err
        return self.error


@pytest.fixture
def invoke(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Iterator[Invoke]:
    """Run the command line in this process."""

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["metaselector", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        return Done(exited.value.code or 0, *capfd.readouterr())

    yield run
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("settings") / "tiny.yaml"
    path.write_text(TINY)
    return path


@pytest.fixture
def raw(write_world: WriteWorld, tmp_path: Path) -> Path:
    return write_world(tmp_path / "raw")


@pytest.fixture
def prepared(invoke: Invoke, raw: Path, settings: Path, tmp_path: Path) -> Path:
    """A run whose data is prepared."""
    run = tmp_path / "run"
    assert invoke("data", "prepare", "--run", run, "--data", raw, "--config", settings).code == 0
    return run


@pytest.fixture
def pretrained(invoke: Invoke, prepared: Path) -> Path:
    assert invoke("pretrain", "--run", prepared).code == 0
    return prepared


def contents(directory: Path) -> dict[str, bytes]:
    """Every file below a directory."""
    return {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file()
    }


# Help and start-up


def commands(command: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    yield name, command
    for child_name, child in getattr(command, "commands", {}).items():
        yield from commands(child, f"{name} {child_name}".strip())


COMMANDS = dict(commands(typer.main.get_command(app)))


def help_of(name: str) -> str:
    # Wide, so that no option is broken over lines.
    done = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "400"})
    assert done.exit_code == 0
    return done.output


def test_the_commands_are_those_of_the_readme() -> None:
    assert set(COMMANDS) == {
        "",
        "config",
        "plugins",
        "data",
        "data fetch",
        "data describe",
        "data prepare",
        "data schema",
        "pretrain",
        "meta-train",
        "tune",
        "evaluate",
        "analyse",
        "predict",
        "explain",
        "report",
        "reproduce",
    }


@pytest.mark.parametrize("name", COMMANDS)
def test_help_explains_every_option(name: str) -> None:
    text, command = help_of(name), COMMANDS[name]
    for param in command.params:
        shown = param.opts[-1]
        assert shown.lower() in text.lower()
        explanation = getattr(param, "help", None)
        assert explanation, f"{shown} has no help"
        assert " ".join(explanation.split()[:4]) in " ".join(text.split())


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if not hasattr(c, "commands")])
def test_help_states_defaults(name: str) -> None:
    """Of every option but --set, which has none, and those that must be given."""
    lines = help_of(name).splitlines()
    for param in COMMANDS[name].params:
        if param.param_type_name == "option" and param.name not in ("help", "overrides"):
            line = next(line for line in lines if f" {param.opts[-1]} " in line and "│" in line)
            assert "[default: " in line or param.required, line


@pytest.mark.parametrize("name", [n for n, c in COMMANDS.items() if hasattr(c, "commands")])
def test_help_lists_commands(name: str) -> None:
    for child in COMMANDS[name].commands:
        assert f" {child} " in help_of(name)


def test_help_does_not_wait_for_torch() -> None:
    program = "import sys, metaselector.cli; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    heavy = {"torch", "pandas", "numpy", "scipy", "sklearn", "matplotlib", "pyarrow", "pydantic"}
    assert not heavy & set(done.stdout.split())


@pytest.mark.parametrize("name", ["data fetch", "data describe", "data prepare", "reproduce"])
def test_help_names_every_data_set(name: str) -> None:
    text = " ".join(help_of(name).replace("│", " ").split())
    for dataset in DATASETS:
        if dataset != "amazon" or name != "data fetch":  # which cannot be fetched
            assert re.search(rf"\b{dataset}\b(?!-)", text), dataset


def test_the_module_is_a_command_too() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "metaselector", "--help"], capture_output=True, text=True, check=True
    )
    assert "reproduce" in done.stdout


def test_settings_are_printed(invoke: Invoke, settings: Path) -> None:
    done = invoke("config", "--config", settings, "--set", "adapt.steps=3")
    assert done.code == 0
    assert "steps: 3  # inner steps" in done.out
    assert "deepfm" not in done.out


def test_raw_data_is_described(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    path = tmp_path / "profile.json"
    done = invoke("data", "describe", "--data", raw, "--json", path)
    assert done.code == 0, done.err
    assert done.err == ""
    for shown in ("movielens-100k", "1,200", "1997-11-20", "occupation", "writer (40)"):
        assert shown in done.out
    assert "warning: feature 'occupation' of users is constant" in done.out
    profile = json.loads(path.read_text())
    assert (profile["rows"], profile["users"], profile["items"]) == (1200, 40, 25)
    assert profile["tasks"][0]["threshold"] == 4

    done = invoke("data", "describe", "--data", raw, "--set", "data.label_threshold=1")
    assert "warning: label 'rating' is positive in every row" in done.out


def test_a_failed_description_writes_nothing(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    edit_line(raw, 4, "u3\ti7")
    done = invoke("data", "describe", "--data", raw, "--json", tmp_path / "profile.json")
    assert done.lone_error.startswith(f"{raw / 'ml-100k.inter'}:4")
    assert done.out == ""
    assert not (tmp_path / "profile.json").exists()


# A log of one's own


LOG = "user_id,item_id,timestamp,rating\nann,1,1600000000,5\nbob,2,1600000001,1\n"


def test_a_schema_is_drafted(invoke: Invoke, tmp_path: Path) -> None:
    log, output = tmp_path / "log.csv", tmp_path / "shop.yaml"
    log.write_text(LOG)
    done = invoke("data", "schema", log)
    assert done.code == 0
    assert f'interactions: "{log}"' in done.out
    assert "labels:" in done.out
    assert invoke("data", "schema", log, "--output", output).out == f"{output}\n"
    assert "interactions: log.csv" in output.read_text().replace('"', "")
    before = output.read_bytes()
    error = invoke("data", "schema", log, "--output", output).lone_error
    assert error == f"{output}: exists already; remove it, or choose another --output"
    assert output.read_bytes() == before


def test_no_file_to_draft_from(invoke: Invoke, tmp_path: Path) -> None:
    error = invoke("data", "schema", tmp_path / "none.csv").lone_error
    assert error.startswith(f"{tmp_path / 'none.csv'}: no such file")


def test_the_run_of_a_schema_is_called_like_it(
    invoke: Invoke, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_stage, "prepare_run", lambda *_: None)
    done = invoke("data", "prepare", "--dataset", tmp_path / "shop.yaml")
    assert done.code == 0
    assert done.out == f"{Path('runs', 'shop', 'data')}\n"


def test_a_wrong_schema(invoke: Invoke, tmp_path: Path) -> None:
    schema, run = tmp_path / "shop.yaml", tmp_path / "run"
    schema.write_text("version: 1\nusr: a\n")
    done = invoke("data", "prepare", "--dataset", schema, "--run", run)
    assert done.lone_error == f"{schema}: unknown key 'usr'; did you mean 'user'?"
    assert not run.exists()


# Plug-ins

POPULARITY = Path(__file__).parents[1] / "examples" / "popularity.py"


def test_plugins_are_listed(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    done = invoke("plugins", "--set", f"base_models.mine.model={POPULARITY}:Popularity")
    assert done.code == 0
    lines = [re.split(r" {2,}", line.strip()) for line in done.out.splitlines()]
    found = {tuple(line[:2]): line[2:] for line in lines if len(line) >= 4}
    assert found["base model", "fm"][:2] == [
        "built in",
        "Second-order factorization machine (Rendle, ICDM 2010, Eq. 1).",
    ]
    assert found["base model", "mine"][0].startswith(str(POPULARITY.parent))
    for kind in (("selector", "gated"), ("inner rule", "maml"), ("metric", "auc")):
        assert found[kind][0] == "built in"
    assert ("dataset", "movielens-100k") in found


def test_a_base_model_from_a_file(invoke: Invoke, prepared: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(POPULARITY.read_text())
    option = ("--base-model", f"{file}:Popularity")
    assert invoke("pretrain", "--run", prepared, *option).code == 0
    checkpoints = {path.name for path in (prepared / "checkpoints" / "seed-0").iterdir()}
    assert {f"base-{m}-train.safetensors" for m in ("lr", "fm", "popularity")} <= checkpoints
    assert f"model: {file}:Popularity" in (prepared / "config.yaml").read_text()
    again = invoke("pretrain", "--run", prepared, *option)
    assert again.err.count("done before with the same settings") == 9

    file.write_text(file.read_text() + "# edited\n")
    again = invoke("pretrain", "--run", prepared)
    assert again.err.count("done before with the same settings") == 6
    error = invoke("meta-train", "--run", prepared, "--base-model", f"{file}:Popularity").err
    assert "No such option" in error


@pytest.mark.parametrize(
    ("text", "attribute", "problem"),
    [
        (None, ":Mine", "cannot be read"),
        ("", "", "--base-model mine: expected path/to/file.py:Class"),
        ("", ":Mine", "no class 'Mine' in this file"),
        ("from base_models import LR\n", ":LR", "there is another base model called 'lr'"),
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


# Transfer


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
    assert again.err.count("done before with the same settings") == 6

    error = invoke("pretrain", "--run", run, "--freeze", "fm.embeding.*").error
    assert error.startswith(
        "transfer.freeze: pattern 'fm.embeding.*' matches no parameter; did you"
    )
    error = invoke("pretrain", "--run", tmp_path / "run", "--freeze", "*").lone_error
    assert "freeze needs init_from" in error


# Teaching


def test_strategies_of_training_base_models(invoke: Invoke, prepared: Path) -> None:
    done = invoke("pretrain", "--run", prepared, "--strategy", "mutual")
    assert done.code == 0, done.err
    assert "pretrain lr + fm (train)" in done.err
    assert "strategy: mutual" in (prepared / "config.yaml").read_text()
    again = invoke("pretrain", "--run", prepared)  # with the settings that were saved
    assert again.err.count("done before with the same settings") == 3
    alone = invoke("pretrain", "--run", prepared, "--strategy", "independent")
    assert "pretrain fm (full)" in alone.err
    error = invoke("pretrain", "--run", prepared, "--strategy", "mutal").lone_error
    assert error.startswith("teaching.strategy: Input should be 'independent', 'mutual'")


# Tuning

SPACE = "meta_train.phi_learning_rate: {low: 0.0001, high: 0.01, log: true}\n"


def test_settings_are_tuned(invoke: Invoke, prepared: Path, tmp_path: Path) -> None:
    space = tmp_path / "space.yaml"
    space.write_text(SPACE)
    before = contents(prepared)
    done = invoke("tune", "--run", prepared, "--space", space, "--trials", 2)
    assert done.code == 0, done.err
    chosen = prepared / "tune" / "metaselector.yaml"
    assert re.match(r"valid logloss 0\.\d{4} in trial [01], the best of 2; 0\.\d{4} with", done.out)
    assert done.out.endswith(f"{chosen}\n{chosen.with_suffix('.csv')}\n")
    assert f"tune --run {prepared} --space {space} --trials 2\n" in chosen.read_text()
    after = contents(prepared)
    assert all(after[name] == content for name, content in before.items())
    assert invoke("meta-train", "--run", prepared, "--config", chosen).code == 0


def test_tuning_without_optuna(
    invoke: Invoke, prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    monkeypatch.delitem(sys.modules, "metaselector.stages.tune", raising=False)
    error = invoke("tune", "--run", prepared, "--space", tmp_path / "space.yaml").lone_error
    assert error == (
        "tuning needs Optuna: there is no module optuna; pip install 'metaselector[tune]' brings it"
    )


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        (None, (), "{space}: cannot be read"),
        ("adapt.step: {low: 1, high: 2}", (), "{space}: adapt.step: unknown setting; did you mean"),
        (
            SPACE,
            ("--target", "metaselektor"),
            "--target metaselektor: there is no such target; did",
        ),
        (SPACE, ("--target", "fm"), "{space}: meta_train.phi_learning_rate: changes nothing for"),
    ],
)
def test_what_cannot_be_tuned(
    invoke: Invoke,
    prepared: Path,
    tmp_path: Path,
    text: str | None,
    options: tuple[str, ...],
    message: str,
) -> None:
    space = tmp_path / "space.yaml"
    if text is not None:
        space.write_text(text)
    before = contents(prepared)
    error = invoke("tune", "--run", prepared, "--space", space, *options).lone_error
    assert error.startswith(message.format(space=space))
    assert contents(prepared) == before


# New users


COLD = ("--protocol", "cold", "--set", "cold.support_sizes=[3, 6]")


def test_new_users_from_raw_data_to_the_overview(
    invoke: Invoke, raw: Path, settings: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = invoke("reproduce", "--run", run, "--data", raw, "--config", settings, *COLD)
    assert done.code == 0, done.err
    assert "logloss 3" in done.out
    assert "are for validation and 3 for the test" in done.err
    for size in (3, 6):
        text = (run / f"support-{size}" / "summary.md").read_text()
        assert f"movielens-100k, cold-{size}" in text
        assert str(run / f"support-{size}") in done.out
    assert invoke("evaluate", "--run", run).code == 0
    other = invoke("evaluate", "--run", run, "--set", "cold.support_sizes=[3]")
    assert "cold.support_sizes was [3, 6], now [3]" in other.error


def test_the_run_of_new_users_has_a_place_of_its_own(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prepare_stage, "prepare_run", lambda *_: None)
    for options in (("--protocol", "cold"), ("--set", "protocol=cold")):
        done = invoke("data", "prepare", *options)
        assert done.out == f"{Path('runs', 'movielens-100k-cold', 'data')}\n"


def test_short_new_users_are_counted_and_left_out(
    invoke: Invoke, raw: Path, tmp_path: Path
) -> None:
    path = raw / "ml-100k.inter"
    lines = path.read_text().splitlines(keepends=True)
    short = [line for i, line in enumerate(lines) if not (i > 240 and line.startswith("u37\t"))]
    path.write_text("".join(short))
    done = prepare(invoke, raw, tmp_path / "run", "--set", "cold.support_sizes=[3,10]", *COLD[:2])
    assert done.code == 0
    assert "no rows after their first 10: they are left out where the support is 10" in done.err
    assert "first 3:" not in done.err


def test_no_new_user_is_long_enough(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    done = prepare(invoke, raw, tmp_path / "run", "--protocol", "cold")
    assert done.error.endswith("has more than 40 rows; leave 40 out of cold.support_sizes")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sizes", ["[]", "[0, 5]", "[10, 5]", "[5, 5]"])
def test_wrong_support_sizes(invoke: Invoke, tmp_path: Path, sizes: str) -> None:
    done = invoke("reproduce", "--run", tmp_path / "run", "--set", f"cold.support_sizes={sizes}")
    assert done.lone_error.startswith("cold.support_sizes: ")


def test_data_prepared_for_known_users(invoke: Invoke, prepared: Path) -> None:
    error = invoke("pretrain", "--run", prepared, "--set", "protocol=cold").lone_error
    assert error.startswith(f"{prepared / 'data'}: prepared with protocol=warm, this run has cold")


# Mistakes: raw files


def prepare(invoke: Invoke, data: Path, run: Path, *more: object) -> Done:
    return invoke("data", "prepare", "--run", run, "--data", data, "--set", "threads=1", *more)


def edit_line(raw: Path, number: int, text: str) -> None:
    path = raw / "ml-100k.inter"
    lines = path.read_text().splitlines()
    lines[number - 1] = text
    path.write_text("\n".join(lines) + "\n")


def test_missing_file(invoke: Invoke, tmp_path: Path) -> None:
    error = prepare(invoke, tmp_path / "none", tmp_path / "run").lone_error
    assert error.startswith(f"{tmp_path / 'none'}: no such file or directory")
    assert not (tmp_path / "run").exists()


def test_directory_without_the_files(invoke: Invoke, tmp_path: Path) -> None:
    error = prepare(invoke, tmp_path, tmp_path / "run").lone_error
    assert error.startswith(f"{tmp_path}: no data set is found here")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("line", "text", "message"),
    [
        (4, "u3\ti7\t4", ":4 (column timestamp): 'u3\\ti7\\t4' has 3 instead of 4 columns"),
        (4, "u3\ti7\t4\t1\t1", ":4 (column timestamp): "),
        (7, "u3\ti7\tfour\t881000000", ":7 (column rating): 'four' is not a finite number"),
        (7, "u3\ti7\tnan\t881000000", ":7 (column rating): 'nan' is not a finite number"),
        (1201, "u39\ti", ":1201 (column rating): "),
        (1, "user_id:token\titem_id:token\trating:float", ":1 (column timestamp): "),
    ],
    ids=["few columns", "many columns", "text rating", "nan rating", "truncated", "header"],
)
def test_wrong_line(
    invoke: Invoke, raw: Path, tmp_path: Path, line: int, text: str, message: str
) -> None:
    edit_line(raw, line, text)
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}{message}")
    assert not (tmp_path / "run").exists()


def test_truncated_file_is_recognised(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    path = raw / "ml-100k.inter"
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut short" in prepare(invoke, raw, tmp_path / "run").lone_error


def test_empty_file(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    (raw / "ml-100k.inter").write_text("")
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}: the file is empty")


def test_amazon_review_that_is_wrong(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "reviews_X_5.json"
    row = '{"reviewerID": "A1", "asin": "B1", "overall": 5.0, "unixReviewTime": 1393545600}\n'
    path.write_text(row + row.replace("5.0", "9.0"))
    error = prepare(invoke, path, tmp_path / "run", "--dataset", "amazon").lone_error
    assert error.startswith(f"{path}:2 (column overall): 9 is not a rating from 1 to 5")
    assert not (tmp_path / "run").exists()


def test_files_of_ones_own_need_a_path(invoke: Invoke, tmp_path: Path) -> None:
    error = invoke("reproduce", "--run", tmp_path / "run", "--dataset", "amazon").error
    assert "set --data to the path of reviews_<category>_5.json.gz" in error


def test_truncated_zip(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "ml-100k.zip"
    path.write_bytes(b"PK\x03\x04 half of it")
    error = prepare(invoke, path, tmp_path / "run").lone_error
    assert error.startswith(f"{path}: not a zip file or a damaged one")


def test_empty_split(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    rows = [f"u{u}\ti{r}\t4\t{880000000 + r}\n" for u in range(3) for r in range(2)]
    (raw / "ml-100k.inter").write_text(HEADER + "".join(rows))
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}: the valid window (80-90 %")
    assert not (tmp_path / "run").exists()


def test_user_with_a_single_row(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    with (raw / "ml-100k.inter").open("a") as file:
        file.write("lonely\ti0\t5\t880000000\n")
    error = prepare(invoke, raw, tmp_path / "run").lone_error
    assert error.startswith(f"{raw / 'ml-100k.inter'}:1202 (column user): user 'lonely'")
    assert "data.drop_short_users=true" in error
    assert not (tmp_path / "run").exists()
    assert prepare(invoke, raw, tmp_path / "run", "--set", "data.drop_short_users=true").code == 0


def test_a_failed_preparation_leaves_the_earlier_one(
    invoke: Invoke, prepared: Path, raw: Path
) -> None:
    before = contents(prepared)
    edit_line(raw, 4, "u3\ti7")
    assert prepare(invoke, raw, prepared).lone_error
    assert contents(prepared) == before


# Mistakes: settings


@pytest.mark.parametrize(
    "command", [("data", "prepare"), ("pretrain",), ("meta-train",), ("evaluate",), ("reproduce",)]
)
def test_unknown_key(invoke: Invoke, tmp_path: Path, command: tuple[str, ...]) -> None:
    done = invoke(*command, "--run", tmp_path / "run", "--set", "adapt.step=3")
    assert done.lone_error == "adapt.step: unknown setting; did you mean 'steps'?"
    assert not (tmp_path / "run").exists()


def test_unknown_key_in_a_file(invoke: Invoke, tmp_path: Path) -> None:
    path = tmp_path / "my.yaml"
    path.write_text("base_models: {fm: {pretrain: {epoch: 3}}}\n")
    done = invoke("reproduce", "--run", tmp_path / "run", "--config", path)
    assert "base_models.fm.pretrain.epoch: unknown setting" in done.lone_error
    assert "'epochs'" in done.lone_error


def test_unknown_dataset(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    done = prepare(invoke, raw, tmp_path / "run", "--dataset", "movielens-10k")
    assert "did you mean 'movielens-100k'?" in done.lone_error
    assert not (tmp_path / "run").exists()


def test_unknown_base_model(invoke: Invoke, prepared: Path) -> None:
    before = contents(prepared)
    done = invoke("pretrain", "--run", prepared, "--set", "base_models.depfm={}")
    assert "unknown base model 'depfm'; did you mean 'deepfm'?" in done.error
    assert "config.yaml" in before
    assert contents(prepared)["config.yaml"] == before["config.yaml"]


def test_device_that_is_not_there(invoke: Invoke, prepared: Path) -> None:
    error = invoke("pretrain", "--run", prepared, "--device", "quantum").lone_error
    assert error.startswith("device 'quantum' cannot be used here")


# Mistakes: steps out of order, or with other settings


@pytest.mark.parametrize("command", ["pretrain", "meta-train", "evaluate"])
def test_nothing_prepared(invoke: Invoke, tmp_path: Path, command: str) -> None:
    error = invoke(command, "--run", tmp_path / "run", "--set", "threads=1").error
    assert error.startswith(f"{tmp_path / 'run' / 'data' / 'schema.json'}: no prepared data set")
    assert not (tmp_path / "run").exists()


def test_nothing_pretrained(invoke: Invoke, prepared: Path) -> None:
    before = contents(prepared)
    error = invoke("meta-train", "--run", prepared).lone_error
    assert error.startswith(f"{prepared}/checkpoints/seed-0/base-lr-early.safetensors: no such")
    assert contents(prepared) == before


def test_data_prepared_with_other_settings(invoke: Invoke, prepared: Path) -> None:
    before = contents(prepared)
    error = invoke("pretrain", "--run", prepared, "--set", "split.train=70").lone_error
    assert error.startswith(f"{prepared / 'data'}: prepared with split=(60, 80, 90)")
    assert contents(prepared) == before
    assert invoke("pretrain", "--run", prepared).code == 0  # the mistake was not remembered


@pytest.mark.parametrize("name", ["cells.npy", "task_labels.npy", "schema.json", "users.json"])
@pytest.mark.parametrize("kept", [None, 0, 60])
def test_damaged_prepared_data(invoke: Invoke, prepared: Path, name: str, kept: int | None) -> None:
    path = prepared / "data" / name
    data = path.read_bytes()
    path.unlink()
    if kept is not None:
        path.write_bytes(data[:kept])
    error = invoke("pretrain", "--run", prepared).lone_error
    assert error.startswith(f"{path}: ")
    assert "metaselector data prepare" in error


def test_checkpoint_from_another_configuration(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    done = invoke("meta-train", "--run", pretrained, "--set", "base_models.fm.pretrain.epochs=3")
    assert done.lone_error == (
        f"{pretrained}/checkpoints/seed-0/base-fm-early.safetensors: made with another "
        "configuration: base_models.fm.pretrain.epochs was 1, now 3; use that configuration, "
        "another --run directory, or train again"
    )
    assert contents(pretrained) == before


def test_truncated_checkpoint(invoke: Invoke, pretrained: Path) -> None:
    path = pretrained / "checkpoints" / "seed-0" / "base-lr-train.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    error = invoke("meta-train", "--run", pretrained).lone_error
    assert error.startswith(f"{path}: damaged or not a MetaSelector checkpoint")


def test_nothing_meta_trained(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    error = invoke("evaluate", "--run", pretrained).error
    assert "sample-selector.safetensors: no such checkpoint" in error
    assert contents(pretrained) == before


def test_nothing_evaluated(invoke: Invoke, pretrained: Path) -> None:
    before = contents(pretrained)
    error = invoke("analyse", "--run", pretrained).lone_error
    assert error.startswith(f"{pretrained / 'predictions.parquet'}: no predictions here")
    assert "run `metaselector evaluate` again" in error
    assert contents(pretrained) == before


# Mistakes: a full disk

LIMITED = (
    "import resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}));"
    "from metaselector.cli import main; main()"
)


def invoke_limited(limit: int, *arguments: object) -> Done:
    """Run the command line where no file may grow beyond `limit` bytes."""
    done = subprocess.run(
        [sys.executable, "-c", LIMITED.format(limit=limit), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr)


def test_full_disk_while_preparing(raw: Path, settings: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    done = invoke_limited(
        4096, "data", "prepare", "--run", run, "--data", raw, "--config", settings
    )
    assert done.lone_error.startswith(f"{run / 'data'}: cannot be written (")
    assert not run.exists()


def test_full_disk_while_training(prepared: Path) -> None:
    before = contents(prepared)
    done = invoke_limited(512, "pretrain", "--run", prepared)
    path = prepared / "checkpoints" / "seed-0" / "base-lr-early.safetensors"
    assert done.error.startswith(f"{path}: cannot be written (")
    shutil.rmtree(prepared / "logs")
    assert contents(prepared) == before
