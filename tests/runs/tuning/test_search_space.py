"""Search spaces: parsing of files, and validation against the settings."""

from __future__ import annotations

from pathlib import Path

import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from metaselector.common.errors import ConfigError
from metaselector.config import Config, change_config, load_config
from metaselector.runs.tuning.search_space import SearchSpace, load_space

SHIPPED = sorted((Path(__file__).parents[3] / "benchmarks" / "configs").glob("tune-*.yaml"))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "space.yaml"


def space_of(file: Path, text: str) -> SearchSpace:
    file.write_text(text)
    return load_space(file)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{low: 1, high: 4}", IntDistribution(1, 4)),
        ("{low: 1, high: 8, log: true}", IntDistribution(1, 8, log=True)),
        ("{low: 10, high: 40, step: 10}", IntDistribution(10, 40, step=10)),
        ("{low: 0, high: 0.5}", FloatDistribution(0, 0.5)),
        ("{low: 1.0, high: 4.0}", FloatDistribution(1, 4)),
        ("{low: 1e-4, high: 1e-2, log: true}", FloatDistribution(1e-4, 1e-2, log=True)),
        ("{low: 0.0, high: 0.3, step: 0.1}", FloatDistribution(0, 0.3, step=0.1)),
        ("{choices: [a, true, 1, 1.0]}", CategoricalDistribution(['"a"', "true", "1", "1.0"])),
        ("{choices: [[4], [8, 4]]}", CategoricalDistribution(["[4]", "[8, 4]"])),
    ],
)
def test_ranges_and_choices(file: Path, text: str, expected: object) -> None:
    assert space_of(file, f"adapt.steps: {text}").distributions == {"adapt.steps": expected}


def test_values_of_a_trial(file: Path) -> None:
    space = space_of(file, "a: {choices: [x, true, 1, [2, 3]]}\nb: {low: 1, high: 2}\n")
    for choice in ("x", True, 1, [2, 3]):
        written = next(
            text
            for text in space.distributions["a"].choices  # type: ignore[attr-defined]
            if repr(space.values({"a": text})["a"]) == repr(choice)
        )
        assert space.values({"a": written, "b": 2}) == {"a": choice, "b": 2}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", ": names no setting to tune"),
        ("- a", ": expected `key: value` lines, found list"),
        ("x: 3", ": x: expected {low, high} or {choices}, got 3"),
        ("x: {low: 1}", ": x: high is missing"),
        ("x: {low: 1, hihg: 2}", ": x: unknown key 'hihg'; did you mean 'high'?"),
        ("x: {choices: [1], step: 2}", ": x: unknown key 'step'; "),
        ("x: {low: 3, high: 1}", ": x: `low <= high` must hold"),
        ("x: {low: 0.0, high: 1.0, log: true}", ": x: `low > 0` must hold for `log=True`"),
        ("x: {low: 0, high: 9, log: true}", ": x: `low >= 1` must hold for `log=True`"),
        ("x: {low: 1.0, high: 2.0, log: true, step: 0.1}", ": x: The parameter `step` is not"),
        ("x: {low: 1, high: 4, step: 2}", ": x: high must be low plus a multiple of step"),
        ("x: {low: 1, high: 4, step: 0.5}", ": x: step must be an integer"),
        ("x: {low: 1, high: 4, step: 0}", ": x: `step > 0` must hold"),
        ("x: {low: 0.0, high: 1.0, step: 1.0e-308}", ": x: step is too small for the range"),
        ("x: {low: a, high: 4}", ": x: could not convert string to float: 'a'"),
        ("x: {low: .nan, high: 4}", ": x: low must be a number (got nan)"),
        ("x: {low: 1, high: .inf}", ": x: high must be a number (got inf)"),
        ("x: {low: false, high: true}", ": x: low must be a number (got False)"),
        ("x: {low: 1, high: 2, log: 1}", ": x: log must be true or false (got 1)"),
        ("x: {choices: []}", ": x: choices must be a list of values (got [])"),
        ("x: {choices: abc}", ": x: choices must be a list of values (got 'abc')"),
        ("x: {choices: [1, 1]}", ": x: two choices are equal"),
        (f"x: {{choices: {[*range(1001)]}}}", ": x: has 1,001 choices; give at most 1,000"),
        ("x: {choices: [2020-01-01]}", ": x: Object of type date is not JSON serializable"),
    ],
)
def test_a_file_that_is_no_space(file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(file, text)
    assert str(caught.value).startswith(f"{file}{message}")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("adapt.step: {low: 1, high: 2}", "adapt.step: unknown setting; did you mean 'steps'?"),
        ("adpt.steps: {low: 1, high: 2}", "adpt.steps: only settings of base_models, "),
        ("seeds: {choices: [[1], [2]]}", "seeds: only settings of base_models, peer_learning, "),
        ("split.train: {low: 70, high: 80}", "split.train: only settings of base_models, "),
        ("base_models.fmm.pretrain.epochs: {low: 1, high: 2}", "base_models.fmm.pretrain.epochs: "),
        ("base_models: {choices: [{}]}", "base_models: this run has no base model ''"),
        ("adapt.steps: {low: -1, high: 2}", "adapt.steps: Input should be greater than or equal"),
        ("adapt.rule: {choices: [maml, mamel]}", "adapt.rule: unknown inner "),
        ("adapt.steps: {low: 1.0, high: 4.0}", "adapt.steps: takes integers; "),
        ("adapt.inner_dropout: {low: 0.0, high: 1.0}", "adapt.inner_dropout: takes integers"),
        ("meta_train.epochs: {low: 0.5, high: 4}", "meta_train.epochs: Input should be a valid "),
    ],
)
def test_settings_that_cannot_be_tuned(file: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        space_of(file, text).probes(Config())
    assert str(caught.value).startswith(f"{file}: {message}")
    assert "\n" not in str(caught.value)


def test_probes_are_the_ends_and_every_choice(file: Path) -> None:
    space = space_of(file, "adapt.steps: {low: 1, high: 4}\nadapt.rule: {choices: [maml]}")
    probes = space.probes(Config())
    assert [config.adapt.steps for config in probes["adapt.steps"]] == [1, 4]
    assert [config.adapt.rule for config in probes["adapt.rule"]] == ["maml"]


@pytest.mark.parametrize(
    ("text", "overrides", "inside"),
    [
        ("adapt.steps: {low: 1, high: 4}", ["adapt.steps=4"], True),
        ("adapt.steps: {low: 1, high: 4}", ["adapt.steps=5"], False),
        ("adapt.support_size: {low: 10, high: 40, step: 15}", ["adapt.support_size=25"], True),
        ("adapt.support_size: {low: 10, high: 40, step: 15}", ["adapt.support_size=20"], False),
        ("adapt.inner_lr_phi: {low: 0.1, high: 0.7, step: 0.2}", ["adapt.inner_lr_phi=0.3"], True),
        ("adapt.inner_lr_phi: {low: 0.1, high: 0.7, step: 0.2}", ["adapt.inner_lr_phi=0.4"], False),
        ("adapt.inner_lr_phi: {choices: [1, 2]}", ["adapt.inner_lr_phi=2.0"], True),
        (
            "adapt.parameters: {choices: [['*'], ['selector.*']]}",
            ["adapt.parameters=['selector.*']"],
            True,
        ),
        ("adapt.rule: {choices: [maml]}", [], False),
        ("base_models.fm.options.embedding_size: {low: 2, high: 8}", [], False),  # not given
    ],
)
def test_where_the_settings_lie(file: Path, text: str, overrides: list[str], inside: bool) -> None:
    config, space = load_config(overrides=overrides), space_of(file, text)
    found = space.current(config)
    assert bool(found) == inside
    assert change_config(config, space.values(found)) == config


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.name)
def test_the_defaults_lie_in_the_shipped_spaces(path: Path) -> None:
    space = load_space(path)
    space.probes(Config())
    assert space.current(Config()).keys() == space.distributions.keys()


def test_there_are_shipped_spaces() -> None:
    assert SHIPPED
