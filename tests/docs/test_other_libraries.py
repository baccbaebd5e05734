"""The settings and the file that the page on models of other libraries shows."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.config import load_config
from metaselector.evaluate.metrics import auc
from metaselector.models.estimators import create_estimator, fit

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "other-libraries.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


@pytest.mark.parametrize("shown", blocks("yaml"))
def test_settings_are_accepted(shown: str, tmp_path: Path) -> None:
    path = tmp_path / "settings.yaml"
    path.write_text(shown)
    for name, model in load_config(path, allow_code=True).base_models.items():
        assert model.gives_scores == (name not in ("lr", "fm", "deepfm"))
        if model.estimator and ".py" not in model.estimator:
            if model.estimator == "fuxictr":  # its models are in a clone
                continue
            pytest.importorskip(model.estimator.partition(".")[0].replace("-", "_"))
            create_estimator(name, model, 0)


def test_the_pipeline_is_a_classifier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (source,) = blocks("python")
    (tmp_path / "onehot.py").write_text(source)
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "settings.yaml"
    path.write_text(next(shown for shown in blocks("yaml") if "onehot" in shown))
    made = create_estimator("onehot", load_config(path, allow_code=True).base_models["onehot"], 0)
    generator = np.random.default_rng(0)
    rows = pd.DataFrame(generator.integers(5, size=(400, 2)), columns=["user", "item"])
    y = (generator.random(400) < 0.2 + 0.15 * rows["item"]).astype(np.int64).to_numpy()
    fit(made, rows[:300], y[:300], ["user", "item"])
    assert auc(y[300:], made.predict_proba(rows[300:])[:, 1]) > 0.65
