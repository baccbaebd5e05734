"""The command that makes all tables: what it checks, what it skips, how it goes on."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks import suite, tables
from benchmarks.data_facts import FACTS_FILE
from benchmarks.long_table import TABLE, kept_files
from benchmarks.suite import Options, make_suite
from benchmarks.suite_entries import Entry
from metaselector.common.errors import UserError
from metaselector.config import load_config
from metaselector.runs.run import Run

SETTINGS = """
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
adapt: {support_size: 5, finetune_rates: [0.1]}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
evaluate: {resamples: 20}
cold: {support_sizes: [3, 6]}
threads: 1
"""


class World:
    """A folder with the raw files, settings, and the arguments of each call of `make`."""

    def __init__(self, folder: Path, write_world: Callable[[Path], Path]) -> None:
        self.folder, self.calls = folder, list[list[str]]()
        write_world(folder / "raw")
        (folder / "tiny.yaml").write_text(SETTINGS)
        self.options = Options((), folder, folder / "runs", folder / "results")

    def entry(self, dataset: str = "movielens-100k", file: str = "raw", **more: object) -> Entry:
        found = Entry(dataset, "warm", str(self.folder / "tiny.yaml"), 1, file)
        return found._replace(**more)  # type: ignore[arg-type]

    def make(self, arguments: list[str]) -> int:
        self.calls.append(arguments)
        return 0

    def train(self, arguments: list[str]) -> int:
        """As the command does, in this process."""
        self.calls.append(arguments)
        tables.app(arguments, standalone_mode=False)
        return 0


@pytest.fixture
def world(tmp_path: Path, write_world: Callable[[Path], Path]) -> World:
    return World(tmp_path, write_world)


def test_what_cannot_be_finished_is_told_before_training_and_the_rest_is_made(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    (world.folder / "large.yaml").write_text(SETTINGS + "data: {label_threshold: 9}\n")
    entries = (
        world.entry("movielens-1m", file="nowhere.zip"),
        world.entry("movietweetings", config=str(world.folder / "not-there.yaml")),
        world.entry(protocol="cold", config=str(world.folder / "large.yaml")),
        world.entry(),
    )
    assert make_suite(world.options, entries, world.make) == 2
    (call,) = world.calls
    assert call[:6] == ["--dataset", "movielens-100k", "--protocol", "warm", "--seeds", "1"]
    assert "--prepared" in call
    before, _, after = capsys.readouterr().out.partition("making ")
    for text in (before, after):
        assert "movielens-1m-warm                  refused" in text
        assert "nowhere.zip: file not found" in text
        assert "movietweetings-warm                skipped" in text
        assert "not-there.yaml: file not found" in text
        assert "movielens-100k-cold                refused" in text
    assert "movielens-100k-warm                ready" in before
    assert "movielens-100k-warm                made" in after


def test_too_few_rows_for_new_users_are_refused(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    many = SETTINGS.replace("[3, 6]", "[3, 400]")
    (world.folder / "many.yaml").write_text(many)
    entry = world.entry(protocol="cold", config=str(world.folder / "many.yaml"))
    assert make_suite(world.options, (entry,), world.make) == 1
    assert not world.calls
    assert "has more than 400 rows; leave 400 out" in capsys.readouterr().out


def test_a_table_that_fails_does_not_end_the_others(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    codes = iter([-9, 2, 0])
    entries = tuple(world.entry(protocol=name) for name in ("warm", "global", "cold"))
    assert make_suite(world.options, entries, lambda _: next(codes)) == 2
    last = capsys.readouterr().out.partition("all tables:")[2]
    assert "movielens-100k-warm                failed (ended by signal 9" in last
    assert "movielens-100k-global              failed (exit code 2" in last
    assert "movielens-100k-cold                made" in last


def test_names_choose_tables_and_unknown_ones_are_refused(world: World) -> None:
    entries = (world.entry(), world.entry(protocol="cold"))
    options = world.options._replace(only=("movielens-100k-cold",))
    assert make_suite(options, entries, world.make) == 0
    assert [call[3] for call in world.calls] == ["cold"]
    with pytest.raises(UserError, match=r"no such table; did you mean 'movielens-100k-cold'"):
        make_suite(options._replace(only=("movielens-100k-cld",)), entries, world.make)


def test_without_a_folder_what_cannot_be_fetched_is_skipped(
    world: World, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    tried = []

    def fetch(name: str, directory: Path) -> Path:
        tried.append(name)
        raise UserError(f"{name} could not be fetched")

    monkeypatch.setattr(suite, "fetch", fetch)
    entries = (
        world.entry(),
        world.entry(protocol="cold"),
        world.entry("trivago", file="trivago.parquet"),
    )
    assert make_suite(world.options._replace(data_folder=None), entries, world.make) == 0
    assert tried == ["movielens-100k"]  # once
    assert not world.calls
    told = capsys.readouterr().out
    assert "movielens-100k-cold                skipped (movielens-100k could not be" in told
    assert "skipped (cannot be fetched; put trivago.parquet into a --data-folder)" in told


@pytest.mark.skipif(sys.platform == "win32", reason="needs permissions of POSIX")
def test_an_output_that_cannot_be_written_is_refused_at_once(world: World) -> None:
    (world.folder / "results").write_text("a file")
    with pytest.raises(UserError, match="results: cannot be written"):
        make_suite(world.options, (world.entry(),), world.make)


def test_two_tables_from_raw_files_to_the_page(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    """One has two tasks, the other two support sizes; the second time, nothing is made again."""
    entries = (world.entry("movielens-100k-funnel"), world.entry(protocol="cold"))
    before = torch.get_num_threads()
    assert make_suite(world.options, entries, world.train) == 0
    torch.set_num_threads(before)
    results = world.folder / "results"
    for entry in entries:
        settings = load_config(results / entry.name / "config.yaml")
        kept = {*kept_files(Run(world.folder / "runs" / entry.name, settings)), FACTS_FILE}
        paths = (results / entry.name).rglob("*.*")
        assert {p.relative_to(results / entry.name).as_posix() for p in paths} == kept
    tasks = {f"task-{task}/{file}" for task in ("watched", "liked") for file in TABLE}
    sizes = {f"support-{n}/{file}" for n in (3, 6) for file in TABLE}
    for entry, files in zip(entries, (tasks, sizes), strict=True):
        assert all((results / entry.name / file).exists() for file in files)
    summary = pd.read_csv(results / "suite" / "summary.csv")
    keys = summary.groupby(["dataset", "protocol"], sort=False).size().index
    assert keys.tolist() == [
        ("movielens-100k-funnel/liked", "warm"),
        ("movielens-100k-funnel/watched", "warm"),
        ("movielens-100k", "cold-3"),
        ("movielens-100k", "cold-6"),
    ]
    for file in ("summary.md", "ranks.png"):
        assert (results / "suite" / file).exists()
    assert make_suite(world.options, entries, world.train) == 0
    assert len(world.calls) == 2
    assert "movielens-100k-cold                finished" in capsys.readouterr().out
    rounding = world.options._replace(overrides=("adapt.max_users_per_chunk=3",))
    assert make_suite(rounding, entries[1:], world.train) == 0
    assert len(world.calls) == 2  # equal but for rounding
    changed = world.options._replace(overrides=("selector.hidden_size=3",))
    world.calls.clear()
    make_suite(changed, entries[1:], world.make)
    assert world.calls[0][8:10] == ["--set", "selector.hidden_size=3"]
