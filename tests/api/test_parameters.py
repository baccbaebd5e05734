"""Parameters and scores, where scikit-learn's users look for them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone
from sklearn.metrics import log_loss, roc_auc_score

from metaselector import MetaSelector, UserError
from metaselector.common.errors import ConfigError
from metaselector.common.progress import Bars
from metaselector.config import Config

from .conftest import SETTINGS, windows


@pytest.mark.parametrize(
    "model",
    [
        MetaSelector(),
        MetaSelector(["lr", "fm"], seed=3, threads=1, adapt={"steps": 1}),
        MetaSelector({"lr": None, "fm": {"pretrain": {"epochs": 2}}}, progress=Bars()),
        MetaSelector(("lr",), config=Config(), directory=Path("runs/x"), allow_code=True),
    ],
)
def test_an_unfitted_model_is_cloned(model: MetaSelector) -> None:
    copy = clone(model)
    assert copy is not model
    assert copy.config == model.config
    given, found = model.get_params(deep=False), copy.get_params(deep=False)
    assert {**given, "progress": None} == {**found, "progress": None}
    assert type(found["progress"]) is type(given["progress"])


def test_a_fitted_model_is_cloned_unfitted(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    copy = clone(fitted)
    assert copy.get_params() == fitted.get_params()
    with pytest.raises(UserError, match="call fit first"):
        copy.adapt(raw.iloc[:0])
    assert fitted.trained is not None


def test_parameters_inside_of_sections() -> None:
    model = MetaSelector(**SETTINGS)
    found = model.get_params()
    assert found["adapt__support_size"] == 8
    assert found["base_models__fm__pretrain__epochs"] == 2
    assert "adapt__support_size" not in model.get_params(deep=False)
    changed = model.set_params(adapt__support_size=5, base_models__lr__pretrain__epochs=3, seed=4)
    assert changed is model
    assert model.config.adapt.support_size == 5
    assert model.config.adapt.inner_lr_theta == 0.5  # the others stay
    assert model.config.base_models["lr"].pretrain.epochs == 3
    assert model.config.seeds == (4,)
    assert SETTINGS["adapt"]["support_size"] == 8  # type: ignore[index]
    model.set_params(**model.get_params())
    assert model.config.adapt.support_size == 5


def test_a_wrong_parameter_changes_nothing() -> None:
    model = MetaSelector(**SETTINGS)
    for wrong in ({"adept": {}}, {"adapt__stops": 1}, {"seed": 1, "adapt__steps": -1}):
        before = model.get_params()
        with pytest.raises(ConfigError):
            model.set_params(**wrong)
        assert model.get_params() == before
        assert model.config.seeds == (0,)
    with pytest.raises(ConfigError, match="seed is 0, so it has no 'x'"):
        model.set_params(seed__x=1)


def test_both_classes_and_scores(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    parts = [windows(fitted, raw, user)[:2] for user in ("u0", "u7", "u9")]
    histories, candidates = (pd.concat(part) for part in zip(*parts, strict=True))
    positive = (candidates["rating"] >= 4).to_numpy()
    p = fitted.predict(histories, candidates)["probability"].to_numpy()
    both = fitted.predict_proba(histories, candidates)
    assert np.array_equal(both, np.column_stack([1 - p, p]))
    assert fitted.score(histories, candidates) == pytest.approx(roc_auc_score(positive, p))
    found = fitted.score(histories, candidates, metric="logloss")
    assert found == pytest.approx(-log_loss(positive, p))
    user = fitted.adapt(parts[0][0])
    alone = parts[0][1].drop(columns="user")
    np.testing.assert_allclose(user.predict_proba(alone)[:, 1], p[: len(alone)], atol=1e-6)
    assert user.score(alone, metric="logloss") == pytest.approx(
        -log_loss(positive[: len(alone)], p[: len(alone)], labels=[False, True]), abs=1e-5
    )
    with pytest.raises(ConfigError, match="score: unknown metric 'auk'; did you mean 'auc'"):
        fitted.score(histories, candidates, metric="auk")
    with pytest.raises(ConfigError, match="score: unknown task 'liked'"):
        fitted.score(histories, candidates, task="liked")
    with pytest.raises(UserError, match="rating"):
        fitted.score(histories, candidates.drop(columns="rating"))
