"""Invalid values of settings, and their error messages."""

from __future__ import annotations

import pytest

from metaselector.common.errors import ConfigError, UserError
from metaselector.config import AdaptConfig, Config, load_config
from metaselector.runs.environment import check_device


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("adapt.steps=-1", r"adapt\.steps: .*greater than or equal to 0 \(got -1\)"),
        ("adapt.steps=many", r"adapt\.steps: .*integer.*\(got 'many'\)"),
        ("adapt.rule=mamel", r"adapt\.rule: .*'maml'.*\(got 'mamel'\)"),
        ("adapt=3", r"adapt: .*\(got 3\)"),
        ("threads=true", "threads: must be a number, not true or false"),
        ("adapt.inner_lr_theta=no", "adapt.inner_lr_theta: must be a number, not true or false"),
        ("seeds=[]", r"seeds: .*at least 1 item"),
        ("base_models=3", r"base_models: .*\(got 3\)"),
        ("base_models.fm=3", r"base_models\.fm: .*\(got 3\)"),
        ("selector.inputs=[]", r"selector\.inputs: .*at least 1 item"),
        (
            "selector.inputs=[field]",
            r"selector\.inputs\.0: 'field' is not known; did you mean 'fields'\?",
        ),
        ("selector.inputs=[outputs, outputs]", r"selector\.inputs: .*an input is listed twice"),
        ("selector.temperature=0", r"selector\.temperature: .*greater than 0"),
        ("selector.uniform_mixing=1", r"selector\.uniform_mixing: .*less than 1"),
        ("selector.uniform_mixing=-0.1", r"selector\.uniform_mixing: .*greater than or equal to 0"),
        ("meta_train.weight_decay=-1", r"meta_train\.weight_decay: .*greater than or equal to 0"),
        ("split.early=80", r"split: .*early < train < valid must hold, got 80, 80, 90"),
        ("split.valid=80", r"early < train < valid must hold, got 60, 80, 80"),
        ("split.valid=100", r"split\.valid: .*less than 100"),
        ("split.dates=[2024-01-01, 2024-02-01, 2024-03-01]", "split: only protocol=global splits"),
        ("protocol=dates", r"protocol: 'dates' is not known; valid names: cold, global, warm"),
    ],
)
def test_impossible_value_is_named_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(overrides=[override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("dates", "message"),
    [
        ("[2024-01-01, 2024-02-01]", r"split\.dates\.2: Field required"),
        ("[2024-01-01, 2024-02-01, soon]", r"split\.dates\.2: .*valid datetime.*\(got 'soon'\)"),
        ("[2024-01-01, 2024-01-01, 2024-02-01]", r"split\.dates: expected three dates in ascend"),
    ],
)
def test_dates_that_split_nothing(dates: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=["protocol=global", f"split.dates={dates}"])


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().adapt.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["../lr", "my.model", "", "uniform", "lr-train"])
def test_base_model_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError, match="base_models"):
        load_config(changes={"base_models": {name: {}}})


def test_half_lives_apply_to_the_last_steps() -> None:
    assert AdaptConfig(steps=3, half_lives=(2.0,)).half_life_of_steps == (None, None, 2.0)
    assert AdaptConfig(steps=2, half_lives=(None, 4.0)).half_life_of_steps == (None, 4.0)
    assert AdaptConfig(steps=1, half_lives=()).half_life_of_steps == (None,)
    assert AdaptConfig(steps=0, half_lives=(2.0,)).half_life_of_steps == ()
    assert [AdaptConfig(steps=steps).half_life_of_steps for steps in range(4)] == [
        (),
        (5.0,),
        (10.0, 5.0),
        (None, 10.0, 5.0),
    ]


@pytest.mark.parametrize("steps", [0, 1, 2, 3])
def test_defaults_per_step_fit_any_number_of_steps(steps: int) -> None:
    """Also where a file or the command line changes only the number."""
    default = AdaptConfig()
    for adapt in (AdaptConfig(steps=steps), load_config(overrides=[f"adapt.steps={steps}"]).adapt):
        for found, whole in (
            (adapt.half_life_of_steps, default.half_lives),
            (adapt.time_decay_of_steps, default.time_decays),
        ):
            assert len(found) == steps
            assert found[::-1][:2] == whole[::-1][:steps]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("adapt.half_lives=[1, 2, 3]", "half_lives has 3 values for 2 steps"),
        ("adapt.half_lives=[0.0]", r"half_lives must be positive or null, got \[0.0\]"),
        ("adapt.granularity=element", "per_step needs granularity scalar or tensor, got element"),
    ],
)
def test_impossible_steps(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        load_config(overrides=[override])


@pytest.mark.parametrize(
    ("setting", "problem"),
    [
        ("threads=1000000000", "threads: .*less than or equal to 1024"),
        ("seeds=[]", "seeds: .*at least 1"),
        ("seeds=[0, 0]", "seeds: .*a seed is listed twice"),
        ("seeds=[-1]", "seeds.0: .*greater than or equal to 0"),
        (f"seeds=[{2**70}]", "seeds.0: .*less than"),
        ("adapt.inner_lr_phi=.nan", "adapt.inner_lr_phi: .*finite"),
        ("adapt.inner_lr_phi=1e300", "adapt.inner_lr_phi: .*at most 3e.38"),
        ("adapt.finetune_rates=[.inf]", "adapt.finetune_rates.0: .*finite"),
        ("adapt.half_lives=[-.inf]", "adapt.half_lives.0.*finite"),
        ("adapt.task_weights={a: .nan}", "adapt.task_weights.a: .*finite"),
        ("data.label_threshold=.inf", "data.label_threshold: .*finite"),
        ("data.history_length=1000000", "data.history_length: .*10000"),
        (
            "meta_train.rate_bounds=[.nan, 1]",
            "meta_train.rate_bounds: .*minimum, maximum",
        ),
        (f"adapt.steps={10**30}", "adapt.steps: .*at most 2,147,483,647"),
        (f"cold.support_sizes=[{10**30}]", "cold.support_sizes: .*at most 2,147,483,647"),
        (f"base_models.lr.pretrain.epochs={10**12}", "base_models.lr.pretrain.epochs: .*at most"),
        ("base_models.lr.pretrain.learning_rate=.inf", "learning_rate: .*finite"),
    ],
)
def test_absurd_numbers(setting: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        load_config(overrides=[setting])
    assert len(str(raised.value)) < 300


def test_what_may_be_infinite() -> None:
    config = load_config(overrides=["checkpoint.seconds=.inf", "meta_train.rate_bounds=[0, .inf]"])
    assert config.checkpoint.seconds == float("inf")
    assert config.meta_train.rate_bounds == (0, float("inf"))


@pytest.mark.parametrize("device", ["", "foo", "meta", "cuda:99", "hpu", "cpu:-1", "\x1b[31m"])
def test_a_device_that_cannot_compute(device: str) -> None:
    with pytest.raises(UserError, match=r"^device '.*' cannot be used here \(.*\); use cpu$"):
        check_device(device)


@pytest.mark.parametrize(
    "name", ["", "a/b", "..", "-a", "a b", "a\n", "a\0", "ü", "😀", "$x$", "C:", "a|b", "x" * 201]
)
def test_names_of_base_models_that_no_file_can_have(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^base_models: ") as raised:
        load_config(changes={"base_models": {name: {"model": "lr"}}})
    assert len(str(raised.value)) < 300


@pytest.mark.parametrize("name", ["lr-2", "_a", "1", "con", "x" * 200])
def test_other_names_can_be_used(name: str) -> None:
    assert name in load_config(changes={"base_models": {name: {"model": "lr"}}}).base_models
