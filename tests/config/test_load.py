"""Settings: defaults, files, overrides, mistakes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import BaseModel

from metaselector.common.errors import ConfigError, UserError
from metaselector.config import AdaptConfig, BaseModelConfig, Config, documented_yaml, load_config
from metaselector.runs.environment import check_device


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "settings.yaml"


def test_data_of_several_tasks_have_base_models_of_their_own(tmp_path: Path) -> None:
    multi_task = Config(dataset="movielens-100k-funnel").base_models
    assert "ple" in multi_task
    assert "lr" not in multi_task
    file = tmp_path / "config.yaml"
    file.write_text("dataset: census-income\n")
    assert load_config(file).base_models.keys() == multi_task.keys()
    assert load_config(file, ["dataset=movielens-100k"]).base_models == Config().base_models
    changed = load_config(file, changes={"dataset": "movielens-1m"})
    assert changed.base_models == Config().base_models
    file.write_text("dataset: census-income\nbase_models: {deepfm: }\n")
    deepfm = Config().base_models["deepfm"]
    assert load_config(file).base_models == {"deepfm": deepfm}, "chosen, from its own defaults"


def test_defaults() -> None:
    assert load_config() == Config()
    assert Config().dataset == "movielens-100k"
    assert list(Config().base_models) == ["lr", "fm", "deepfm"]


def test_a_file_changes_what_it_names(file: Path) -> None:
    file.write_text("adapt: {steps: 3}\ndevice: cuda\n")
    config = load_config(file)
    assert (config.adapt.steps, config.device) == (3, "cuda")
    assert config.adapt.support_size == Config().adapt.support_size


@pytest.mark.parametrize("text", ["", "# nothing but a comment\n"])
def test_an_empty_file_changes_nothing(file: Path, text: str) -> None:
    file.write_text(text)
    assert load_config(file) == Config()


def test_overrides_win_over_the_file_and_flags_over_both(file: Path) -> None:
    file.write_text("adapt: {steps: 2, support_size: 7}\nseeds: [1]\ndevice: cuda\n")
    config = load_config(file, ["adapt.steps=5", "seeds=[2, 3]"], {"seeds": [4]})
    assert config.adapt.steps == 5
    assert config.adapt.support_size == 7
    assert config.seeds == (4,)
    assert config.device == "cuda"


def test_the_last_override_wins() -> None:
    assert load_config(overrides=["adapt.steps=2", "adapt.steps=3"]).adapt.steps == 3


def test_a_section_may_be_overridden_as_a_whole() -> None:
    config = load_config(overrides=["adapt={steps: 4}"])
    assert config.adapt == Config().adapt.model_copy(update={"steps": 4})


def test_a_file_chooses_the_models_which_keep_their_own_defaults(file: Path) -> None:
    file.write_text("base_models:\n  deepfm:\n  fm: {pretrain: {epochs: 2}}\n")
    models = load_config(file).base_models
    assert list(models) == ["deepfm", "fm"]
    assert models["deepfm"] == Config().base_models["deepfm"]
    expected = Config().base_models["fm"].pretrain.model_copy(update={"epochs": 2})
    assert models["fm"].pretrain == expected


def test_a_model_of_ones_own_starts_from_the_general_defaults(file: Path) -> None:
    file.write_text("base_models: {popularity: {options: {fields: [0, 4]}}}\n")
    models = load_config(file).base_models
    assert models == {"popularity": BaseModelConfig(options={"fields": [0, 4]})}


def test_an_override_changes_one_model_and_keeps_the_others() -> None:
    models = load_config(overrides=["base_models.fm.options.embedding_size=4"]).base_models
    assert models["fm"].options == {"embedding_size": 4}
    assert list(models) == ["lr", "fm", "deepfm"]


def test_an_override_of_a_model_the_file_left_out_adds_it(file: Path) -> None:
    file.write_text("base_models: {fm: }\n")
    models = load_config(file, ["base_models.lr.pretrain.epochs=1"]).base_models
    assert list(models) == ["fm", "lr"]
    assert models["lr"].pretrain.weight_decay == Config().base_models["lr"].pretrain.weight_decay


def test_the_order_of_what_the_selector_sees_is_no_setting() -> None:
    given = load_config(overrides=["selector.inputs=[outputs, fields]"])
    assert given == load_config()
    assert given.selector.inputs == ("fields", "outputs")


def test_loading_does_not_change_the_defaults() -> None:
    load_config(overrides=["base_models.deepfm.options.dropout=0.9"])
    assert load_config() == Config()


@pytest.mark.parametrize(
    ("override", "nearest"),
    [
        ("datasett=x", "dataset"),
        ("adapt.step=3", "steps"),
        ("adapt.suport_size=3", "support_size"),
        ("meta_train.user_per_batch=3", "users_per_batch"),
        ("base_models.fm.option={}", "options"),
        ("base_models.fm.pretrain.epohcs=3", "epochs"),
    ],
)
def test_unknown_key_names_the_nearest(override: str, nearest: str) -> None:
    key = override.split("=")[0]
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert str(caught.value) == f"{key}: unknown setting; did you mean '{nearest}'?"


def test_unknown_key_in_a_file(file: Path) -> None:
    file.write_text("split: {trian: 80}\n")
    with pytest.raises(ConfigError, match=r"split\.trian: .*did you mean 'train'"):
        load_config(file)


def test_unknown_key_unlike_any_other_lists_them() -> None:
    with pytest.raises(ConfigError, match=r"valid names: .*dataset, device"):
        load_config(overrides=["qqqq=1"])


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
        ("selector.inputs=[field]", r"selector\.inputs\.0: .*'fields'.*\(got 'field'\)"),
        ("selector.inputs=[outputs, outputs]", r"selector\.inputs: .*an input is listed twice"),
        ("selector.temperature=0", r"selector\.temperature: .*greater than 0"),
        ("selector.uniform_mixing=1", r"selector\.uniform_mixing: .*less than 1"),
        ("selector.uniform_mixing=-0.1", r"selector\.uniform_mixing: .*greater than or equal to 0"),
        ("meta_train.weight_decay=-1", r"meta_train\.weight_decay: .*greater than or equal to 0"),
        ("split.early=80", r"split: .*early < train < valid must hold, got 80, 80, 90"),
        ("split.valid=80", r"early < train < valid must hold, got 60, 80, 80"),
        ("split.valid=100", r"split\.valid: .*less than 100"),
    ],
)
def test_impossible_value_is_named_in_one_line(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(overrides=[override])
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("override", ["adapt.steps", "adapt.steps=[1", "=3"])
def test_malformed_override_is_shown(override: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load_config(overrides=[override])
    assert override.split("=")[0] in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"adapt: [1, 2", ":1: not valid YAML"),
        (b"adapt:\n\tsteps: 3\n", ":2: not valid YAML"),
        (b"seeds: [0]\nseeds: [1]\n", ":2: not valid YAML .'seeds' is given twice"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"- a\n- b\n", "found list"),
        (b"steps\n", "found str"),
    ],
)
def test_a_file_that_is_no_settings_file(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}:")
    assert "\n" not in str(caught.value)


def test_keys_that_are_no_text(file: Path) -> None:
    file.write_text("1: 2\n")
    with pytest.raises(ConfigError, match="1"):
        load_config(file)


def test_missing_file(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings.yaml: cannot be read \(No such file"):
        load_config(file)


@pytest.mark.parametrize(
    "overrides",
    [
        (),
        ("adapt.parameters=['selector.*', '*.bias']", "seeds=[3, 4]", "dataset='yes: #1'"),
        ("base_models.fm.options={embedding_size: 3}", "meta_train.outer_lr_phi=1e-7"),
    ],
)
def test_printed_settings_can_be_loaded(overrides: tuple[str, ...], file: Path) -> None:
    config = load_config(overrides=overrides)
    file.write_text(documented_yaml(config), encoding="utf-8")
    assert load_config(file) == config


def test_a_long_option_can_be_printed_and_loaded(file: Path) -> None:
    option = {"words": [f"word {i}" for i in range(50)], "text": "a b " * 60 + "# not a comment"}
    config = Config(base_models={"mine": BaseModelConfig(options=option)})
    file.write_text(documented_yaml(config), encoding="utf-8")
    assert load_config(file) == config


def sections(model: type[BaseModel]) -> Iterator[type[BaseModel]]:
    yield model
    for info in model.model_fields.values():
        if isinstance(info.annotation, type) and issubclass(info.annotation, BaseModel):
            yield from sections(info.annotation)


def test_every_setting_says_what_it_means() -> None:
    for section in (*sections(Config), *sections(BaseModelConfig)):
        for name, info in section.model_fields.items():
            is_section = isinstance(info.annotation, type) and issubclass(
                info.annotation, BaseModel
            )
            described = is_section or name == "base_models" or info.description
            assert described, f"{section.__name__}.{name} has no description"


def test_every_meaning_is_printed() -> None:
    text = documented_yaml(Config())
    for section in (*sections(Config), *sections(BaseModelConfig)):
        for name, info in section.model_fields.items():
            if info.description and section.__name__ != "BaseModelConfig":
                assert f"{name}: " in text
                assert f"# {info.description}" in text


def test_settings_cannot_be_changed_in_place() -> None:
    with pytest.raises(ValueError, match="frozen"):
        Config().adapt.steps = 3  # type: ignore[misc]


@pytest.mark.parametrize("name", ["../lr", "my.model", "", "uniform", "lr-train"])
def test_base_model_names_that_cannot_be_used(name: str) -> None:
    with pytest.raises(ConfigError, match="base_models"):
        load_config(changes={"base_models": {name: {}}})


# Inner steps


def test_half_lives_are_those_of_the_last_steps() -> None:
    assert AdaptConfig(steps=3, half_lives=(2.0,)).half_life_of_steps == (None, None, 2.0)
    assert AdaptConfig(steps=2, half_lives=(None, 4.0)).half_life_of_steps == (None, 4.0)
    assert AdaptConfig(steps=1, half_lives=()).half_life_of_steps == (None,)
    assert AdaptConfig(steps=0, half_lives=(2.0,)).half_life_of_steps == ()


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
            "meta_train.rate_bounds: .*expected .minimum, maximum.",
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
