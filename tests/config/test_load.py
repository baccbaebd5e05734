"""Loading settings: defaults, files, overrides and unknown keys."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.common.errors import ConfigError
from metaselector.config import BaseModelConfig, Config, DataConfig, load_config


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


def test_a_data_set_may_have_defaults_of_its_own(tmp_path: Path) -> None:
    defaults = load_config(changes={"dataset": "movietweetings"}).data
    assert (defaults.label_threshold, defaults.min_user_rows) == (8, 20)
    assert defaults == Config(dataset="movietweetings").data
    path = tmp_path / "config.yaml"
    path.write_text("dataset: movietweetings\ndata: {label_threshold: 7}\n")
    changed = load_config(path, ["data.min_user_rows=1"]).data
    assert (changed.label_threshold, changed.min_user_rows) == (7, 1)
    others = load_config(path, changes={"dataset": "movielens-1m"}).data
    assert (others.label_threshold, others.min_user_rows) == (7, 1)
    assert DataConfig().min_user_rows == 1


def test_defaults() -> None:
    assert load_config() == Config()
    assert Config().dataset == "movielens-100k"
    assert list(Config().base_models) == ["lr", "fm", "deepfm", "additive", "itemknn"]


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


def test_a_custom_model_starts_from_the_general_defaults(file: Path) -> None:
    file.write_text("base_models: {popularity: {options: {fields: [0, 4]}}}\n")
    models = load_config(file).base_models
    assert models == {"popularity": BaseModelConfig(options={"fields": [0, 4]})}


def test_an_override_changes_one_model_and_keeps_the_others() -> None:
    models = load_config(overrides=["base_models.fm.options.embedding_size=4"]).base_models
    assert models["fm"].options == {"embedding_size": 4}
    assert list(models) == list(Config().base_models)


def test_an_override_of_a_model_the_file_left_out_adds_it(file: Path) -> None:
    file.write_text("base_models: {fm: }\n")
    models = load_config(file, ["base_models.lr.pretrain.epochs=1"]).base_models
    assert list(models) == ["fm", "lr"]
    assert models["lr"].pretrain.weight_decay == Config().base_models["lr"].pretrain.weight_decay


def test_the_order_of_selector_inputs_does_not_matter() -> None:
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
def test_files_without_valid_settings(file: Path, content: bytes, message: str) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        load_config(file)
    assert str(caught.value).startswith(f"{file}:")
    assert "\n" not in str(caught.value)


def test_keys_must_be_text(file: Path) -> None:
    file.write_text("1: 2\n")
    with pytest.raises(ConfigError, match="1"):
        load_config(file)


def test_missing_file(file: Path) -> None:
    with pytest.raises(ConfigError, match=r"settings.yaml: cannot be read \(No such file"):
        load_config(file)
