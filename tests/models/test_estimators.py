"""Classifiers that the settings name."""

from __future__ import annotations

from importlib.metadata import EntryPoint
from pathlib import Path

import pytest
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from metaselector.common.errors import ConfigError
from metaselector.config import BaseModelConfig, load_config
from metaselector.config.plugins import registry as plugins
from metaselector.models.estimators import create_estimator, estimator_class

SOURCE = """
class Own:
    def __init__(self, share=0.5):
        if not 0 < share < 1:
            raise ValueError(f"share must be in 0 to 1, got {share}")
        self.share = share

    def fit(self, X, y): ...

    def predict_proba(self, X): ...


class Half:
    def fit(self, X, y): ...


def make(): ...
"""


@pytest.fixture
def path(tmp_path: Path) -> str:
    (tmp_path / "own.py").write_text(SOURCE)
    return str(tmp_path / "own.py")


def test_a_class_is_found_by_its_dotted_name_in_a_file_and_by_a_plugins_name(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "sklearn.linear_model.LogisticRegression"
    assert estimator_class(name) is LogisticRegression
    assert estimator_class(f"{path}:Own").__name__ == "Own"
    point = EntryPoint("linear", name.replace(".Log", ":Log"), "metaselector.estimators")
    monkeypatch.setattr(plugins, "entry_points", lambda group: [point])
    assert estimator_class("linear") is LogisticRegression
    assert load_config(overrides=["base_models.a.estimator=linear"]).base_models["a"].gives_scores


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("no_such_package.Trees", "no package 'no_such_package' is installed; install it"),
        ("sklearn.ensembel.Trees", "sklearn has no module 'ensembel'; did you mean 'ensemble'"),
        ("sklearn.tree.DecisionTreeClasifier", "did you mean 'DecisionTreeClassifier'"),
        ("sklearn.linear_model.LinearRegression", "is not a classifier: it has no predict_proba"),
        ("sklearn.utils.shuffle", "is not a class"),
        ("FILE:Half", "is not a classifier: it has no predict_proba"),
        ("FILE:Onw", "no class 'Onw' in this file; did you mean 'Own'"),
        ("FILE:make", "is not a class"),
    ],
)
def test_what_is_no_classifier(path: str, name: str, problem: str) -> None:
    settings = BaseModelConfig(estimator=name.replace("FILE", path))
    with pytest.raises(ConfigError, match=rf"^base_models\.a\.estimator: .*{problem}"):
        create_estimator("a", settings, 0)


def test_what_a_package_needs_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, line in (("needing", "import no_such_library"), ("broken", "1 / 0")):
        (tmp_path / f"{name}_package.py").write_text(f"{line}\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match="needs 'no_such_library', which is not installed"):
        estimator_class("needing_package.Trees")
    with pytest.raises(ConfigError, match="importing broken_package fails"):
        estimator_class("broken_package.Trees")


def test_unknown_names_are_told_with_the_settings() -> None:
    with pytest.raises(ConfigError, match=r"a\.estimator: .*unknown estimator 'Trees'.*or give"):
        load_config(overrides=["base_models.a.estimator=Trees"])


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("{estimator: a.B, model: lr}", "remove model and scores"),
        ("{estimator: a.B, scores: {file: x}}", "remove model and scores"),
        ("{estimator: a.B, pretrain: {epochs: 2}}", "an estimator trains itself"),
    ],
)
def test_an_estimator_or_a_model(settings: str, problem: str) -> None:
    with pytest.raises(ConfigError, match=problem):
        load_config(overrides=[f"base_models.a={settings}"])


def test_options_and_the_seed_reach_the_constructor(path: str) -> None:
    name = "sklearn.ensemble.HistGradientBoostingClassifier"
    made = create_estimator("a", BaseModelConfig(estimator=name, options={"max_iter": 7}), 3)
    assert isinstance(made, HistGradientBoostingClassifier)
    assert (made.max_iter, made.random_state) == (7, 3)
    fixed = BaseModelConfig(estimator=name, options={"random_state": 1})
    assert vars(create_estimator("a", fixed, 3))["random_state"] == 1
    assert vars(create_estimator("a", BaseModelConfig(estimator=f"{path}:Own"), 3))["share"] == 0.5


@pytest.mark.parametrize(
    ("name", "options", "problem"),
    [
        ("FILE:Own", {"shar": 0.1}, r"base_models\.a\.options\.shar: .*did you mean 'share'"),
        ("FILE:Own", {"share": 2}, r"base_models\.a: .*share must be in 0 to 1, got 2"),
        ("sklearn.linear_model.SGDClassifier", {"loss": "hinge"}, "has no predict_proba with"),
    ],
)
def test_options_that_are_wrong(path: str, name: str, options: dict, problem: str) -> None:
    settings = BaseModelConfig(estimator=name.replace("FILE", path), options=options)
    with pytest.raises(ConfigError, match=problem):
        create_estimator("a", settings, 0)
