"""Former names of settings, in files, on the command line, in search spaces and checkpoints."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from metaselector.common.errors import ConfigError, RenamedWarning
from metaselector.config import Config, change_config, load_config
from metaselector.config.renamed import SECTIONS, SETTINGS, current_key, former_key
from metaselector.runs.tuning.search_space import load_space
from metaselector.training.checkpoint import load_checkpoint, save_checkpoint

OLD = """adapt: {theta_rate: 0.25, names: ["selector.*"]}
selector: {sees: [outputs]}
meta_train: {cut: random, phi_learning_rate: 0.125}
teaching: {strategy: mutual}
"""


def test_a_file_of_before_is_read_as_it_was_meant(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text(OLD)
    with pytest.warns(RenamedWarning, match=r"old\.yaml: .* adapt\.theta_rate is now adapt\.inner"):
        found = load_config(path)
    assert (found.adapt.inner_lr_theta, found.adapt.parameters) == (0.25, ("selector.*",))
    assert found.selector.inputs == ("outputs",)
    assert found.meta_train.support_boundary == "random"
    assert found.meta_train.outer_lr_phi == 0.125
    assert found.peer_learning.strategy == "mutual"


def test_overrides_and_changes_too() -> None:
    with pytest.warns(RenamedWarning, match=r"--set adapt\.phi_rate=2: "):
        assert load_config(overrides=["adapt.phi_rate=2"]).adapt.inner_lr_phi == 2
    with pytest.warns(RenamedWarning, match="settings: "):
        changed = load_config(changes={"meta_train": {"cut": "random"}})
    assert changed.meta_train.support_boundary == "random"
    assert change_config(Config(), {"adapt.phi_rate": 2.0}).adapt.inner_lr_phi == 2


def test_both_names_at_once_are_refused() -> None:
    both = {"adapt": {"phi_rate": 1.0, "inner_lr_phi": 2.0}}
    with pytest.raises(ConfigError, match=r"adapt\.phi_rate: former name of adapt\.inner_lr"):
        load_config(changes=both)


def test_a_wrong_value_is_found_under_its_former_name(tmp_path: Path) -> None:
    path = tmp_path / "old.yaml"
    path.write_text("adapt:\n  steps: 2\n  phi_rate: high\n")
    with (
        pytest.warns(RenamedWarning),
        pytest.raises(ConfigError, match=r"old\.yaml:3: adapt\.inne"),
    ):
        load_config(path)


def test_every_name_leads_to_a_setting_and_back() -> None:
    sections = Config.model_fields
    assert SECTIONS.keys().isdisjoint(sections)
    assert set(SECTIONS.values()) <= set(sections)
    for section, names in SETTINGS.items():
        now = type(getattr(Config(), section)).model_fields
        assert set(names.values()) <= set(now)
        assert names.keys().isdisjoint(now)
        for old, new in names.items():
            assert current_key(f"{section}.{old}") == f"{section}.{new}"
            assert former_key(f"{section}.{new}") == f"{section}.{old}"


def test_a_search_space_of_before_draws_the_same(tmp_path: Path) -> None:
    """Draws depend on the order of the settings, which follows their former names."""
    path = tmp_path / "space.yaml"
    path.write_text(
        "adapt.prior_rows: {low: 0.0, high: 5.0}\nadapt.theta_rate: {low: 0.1, high: 1.0}\n"
        "adapt.phi_rate: {low: 0.1, high: 1.0}\n"
    )
    with pytest.warns(RenamedWarning, match="adapt.theta_rate is now"):
        found = load_space(path)
    keys = ["adapt.inner_lr_phi", "adapt.prior_rows", "adapt.inner_lr_theta"]
    assert list(found.distributions) == keys


def test_checkpoints_of_before_still_fit(tmp_path: Path) -> None:
    path = tmp_path / "old.safetensors"
    old = {"adapt": {"theta_rate": 0.1, "steps": 3}, "teaching": {"strategy": "mutual"}}
    save_checkpoint(path, {"w": torch.ones(1)}, old, {})
    now = {"adapt": {"inner_lr_theta": 0.1, "steps": 3}, "peer_learning": {"strategy": "mutual"}}
    assert load_checkpoint(path, now)[0]["w"] == 1
