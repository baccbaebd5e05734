"""Registries of every kind of component."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import EntryPoint
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor, nn

from base_models import LR, Batch
from metaselector.common.errors import ConfigError, DataError, UserError
from metaselector.config import AdaptConfig, SelectorConfig, load_config
from metaselector.config.plugins import registry as plugins
from metaselector.config.plugins.kinds import ESTIMATORS, METRICS, RULES, SELECTORS, SIMILARITIES
from metaselector.config.plugins.registry import Plugins, identity
from metaselector.data import registry as data_registry
from metaselector.data.fetch import fetch
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.planted import planted_world
from metaselector.data.registry import DATASETS
from metaselector.meta.adapt.rules import MAML
from metaselector.meta.variants import make_rule
from metaselector.models.build import build_selector
from metaselector.models.registry import MODELS
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run

KINDS = [MODELS, ESTIMATORS, SELECTORS, RULES, SIMILARITIES, METRICS, data_registry.PLUGINS]
GROUP = "metaselector.tests"


def offer(monkeypatch: pytest.MonkeyPatch, **targets: str) -> None:
    """Entry points of another package, in every group."""
    points = [EntryPoint(name, target, GROUP) for name, target in targets.items()]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_everything_built_in_can_be_loaded_and_says_what_it_is(kind: Plugins) -> None:
    for plugin in kind.listing():
        assert plugin.source in (plugins.BUILT_IN, "this process") or " " in plugin.source
        assert plugin.summary
        assert not plugin.summary.startswith("cannot be loaded")
    assert {p.name for p in kind.listing() if p.source == plugins.BUILT_IN} == {*kind.built_in}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_unknown_names_tell_the_nearest(kind: Plugins) -> None:
    name = min(kind.built_in)
    with pytest.raises(ConfigError, match=rf"unknown {kind.kind} '{name}x'; did you mean '{name}'"):
        kind.load(f"{name}x")


def test_a_broken_package_is_listed_and_named(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, gone="no_such_package:Thing", half="base_models:NoSuchModel")
    kind = Plugins("thing", GROUP, {})
    for name in ("gone", "half"):
        with pytest.raises(ConfigError, match=rf"thing '{name}': \S+ of a package fails to load"):
            kind.load(name)
    assert all(plugin.summary.startswith("cannot be loaded: ") for plugin in kind.listing())


def test_what_a_package_offers_is_of_the_right_kind_and_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    offer(monkeypatch, wrong="metaselector.meta.adapt.rules:MAML")
    with pytest.raises(ConfigError, match=r"rules:MAML of a package is not a subclass of Module"):
        MODELS.load("wrong", nn.Module)
    points = [EntryPoint("twice", f"base_models:{name}", GROUP) for name in ("LR", "FM")]
    monkeypatch.setattr(plugins, "entry_points", lambda group: points)
    with pytest.raises(ConfigError, match="'twice' is provided by a package and a package"):
        MODELS.load("twice", nn.Module)


def test_packages_do_not_replace_what_is_built_in(monkeypatch: pytest.MonkeyPatch) -> None:
    offer(monkeypatch, lr="no_such_package:Thing")
    assert MODELS.load("lr") is LR


class Decayed(MAML):
    """A custom rule, recognised by the type that it returns."""


def test_a_rule_of_a_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(RULES.registered, "decayed", Decayed)
    config = load_config(overrides=["adapt.rule=decayed", "adapt.inner_lr_theta=0.25"]).adapt
    rule = make_rule(config)
    assert type(rule) is Decayed
    assert rule.rate("base_models.lr.linear.bias") == 0.25


def test_unknown_rules_and_selectors_are_errors_of_their_settings() -> None:
    with pytest.raises(ConfigError, match=r"adapt\.rule: .*did you mean 'meta-sgd'"):
        load_config(overrides=["adapt.rule=metasgd"])
    with pytest.raises(ConfigError, match=r"selector\.kind: .*did you mean 'gated'"):
        load_config(overrides=["selector.kind=gate"])
    assert AdaptConfig(rule="mine.py:Rule").rule == "mine.py:Rule"  # opened when it is used


def test_metrics_are_known_and_not_those_of_the_table() -> None:
    with pytest.raises(ConfigError, match="unknown metric 'brier'"):
        load_config(overrides=["evaluate.metrics=[brier]"])
    with pytest.raises(ConfigError, match="'auc' is built in and always reported"):
        load_config(overrides=["evaluate.metrics=[auc]"])


class Fixed(nn.Module):
    """The same weights for all rows."""

    tables = ()

    def __init__(self, num_models: int, hidden_size: int, first: float = 0.5) -> None:
        super().__init__()
        if not 0 < first < 1:
            raise ValueError(f"first must be in 0 to 1, got {first}")
        self.given = num_models, hidden_size, first

    def forward(self, batch: Batch, base_probabilities: Tensor) -> Tensor:
        return base_probabilities * 0 + 1 / self.given[0]


def test_a_selector_gets_what_its_constructor_asks_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SELECTORS.registered, "fixed", Fixed)
    schema = planted_world(2, 10, 4, np.random.default_rng(0)).dataset.schema
    config = SelectorConfig(kind="fixed", hidden_size=7, options={"first": 0.25})
    assert build_selector(config, schema, 3, seed=0).given == (3, 7, 0.25)
    for options, problem in (
        ({"frst": 1}, r"selector\.options\.frst: unknown option; did you mean 'first'"),
        ({"hidden_size": 1}, r"selector\.options\.hidden_size: unknown option"),
        ({"first": 2}, r"selector\.kind=fixed: first must be in 0 to 1, got 2"),
    ):
        with pytest.raises(ConfigError, match=problem):
            build_selector(SelectorConfig(kind="fixed", options=options), schema, 3, seed=0)


def test_a_dataset_of_a_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(data_registry.PLUGINS.registered, "ours", DATASETS["movielens-100k"])
    assert data_registry.dataset("ours") is DATASETS["movielens-100k"]
    with pytest.raises(UserError, match=r"ours is read from your own files.*--data"):
        fetch("ours", tmp_path)


def test_a_dataset_of_a_package_that_still_gives_seconds(
    monkeypatch: pytest.MonkeyPatch, write_world: Callable[..., Path], tmp_path: Path
) -> None:
    raw = write_world(tmp_path)
    right = DATASETS["movielens-100k"].read(raw)

    class Ours(Brings):
        def read(self, path: Path) -> InteractionTable:
            return replace(right, read=lambda: map(in_seconds, right.read()))

    def in_seconds(block: Interactions) -> Interactions:
        return block._replace(timestamps=block.timestamps // 1_000_000)

    monkeypatch.setitem(data_registry.PLUGINS.registered, "ours", Ours())
    with pytest.raises(
        DataError, match="look like seconds, but must be microseconds since 1970 UTC"
    ):
        list(data_registry.read("ours", raw).read())
    monkeypatch.setitem(data_registry.PLUGINS.registered, "ours", DATASETS["movielens-100k"])
    assert len(data_registry.read("ours", raw).interactions) == len(right.interactions)


class Brings:
    """MovieLens-100K under another name, provided by a package."""

    licence, expected = "ask us", "a folder with ml-100k.inter"
    raw: Path
    problem: Exception | None = None

    def read(self, path: Path) -> InteractionTable:
        return DATASETS["movielens-100k"].read(path)

    def fetch(self, directory: Path) -> None:
        if self.problem is not None:
            raise self.problem
        shutil.copytree(self.raw, directory, dirs_exist_ok=True)


def test_a_dataset_that_brings_its_files_needs_no_data(
    write_world: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(data_registry.PLUGINS.registered, "theirs", Brings)
    monkeypatch.setattr(Brings, "raw", write_world(tmp_path / "raw"), raising=False)
    run = Run(tmp_path / "run", load_config(changes={"dataset": "theirs"}))
    prepare_run(run, None, tmp_path / "data")
    assert run.dataset.schema.dataset == "theirs"
    assert run.dataset.num_users == 40
    assert (tmp_path / "data" / "theirs" / "ml-100k.inter").exists()

    monkeypatch.setattr(Brings, "problem", OSError("no route"))
    assert fetch("theirs", tmp_path / "data") == tmp_path / "data" / "theirs"  # is there already
    with pytest.raises(
        UserError, match=r"theirs .*OSError: no route.*provide a folder with ml-100k"
    ):
        fetch("theirs", tmp_path / "elsewhere")
    assert not (tmp_path / "elsewhere" / "theirs").exists()
    monkeypatch.setattr(Brings, "fetch", lambda self, directory: None)
    with pytest.raises(UserError, match="its own fetch provides no file"):
        fetch("theirs", tmp_path / "elsewhere")


def test_a_file_is_known_by_what_it_says(tmp_path: Path) -> None:
    path, moved = tmp_path / "mine.py", tmp_path / "moved.py"
    path.write_text("A = 1\n")
    moved.write_text("A = 1\n")
    before = identity(f"{path}:Mine")
    assert before == identity(f"{moved}:Mine") != identity(f"{path}:Other")
    path.write_text("A = 2\n")
    assert identity(f"{path}:Mine") != before
    assert identity("lr") == "lr"
