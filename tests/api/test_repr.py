"""What a thing says of itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.config import Config, load_config

from .conftest import windows


def test_a_model_says_what_it_is(fitted: MetaSelector, tmp_path: Path) -> None:
    assert repr(MetaSelector(["lr", "fm"])) == "MetaSelector(movielens-100k, lr + fm, not fitted)"
    config = load_config(None, changes={"dataset": "examples/shop/shop.yaml"})
    assert repr(MetaSelector(["lr"], config=config)) == "MetaSelector(shop, lr, not fitted)"
    fitted.save(tmp_path / "model")
    loaded = MetaSelector.load(tmp_path / "model")
    assert repr(loaded) == "MetaSelector(movielens-100k, lr + fm, fitted)"
    assert loaded._repr_html_().startswith("<p><code>MetaSelector(movielens-100k, lr + fm, fitted)")


def test_an_evaluated_model_says_its_logloss(
    fitted: MetaSelector, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = MetaSelector.load(fitted._fitted_run().directory)
    (run._fitted_run().directory / "results.csv").write_text(
        "model,auc,logloss\nlr,0.7,0.6\nmetaselector,0.8,0.5176\n"
    )
    try:
        assert repr(run) == "MetaSelector(movielens-100k, lr + fm, fitted, test logloss 0.518)"
        assert "<td>metaselector</td>" in run._repr_html_()
        assert "logloss" not in repr(MetaSelector(config=run.config, directory="elsewhere"))
        (run._fitted_run().directory / "results.csv").write_text("damaged")
        assert repr(run) == "MetaSelector(movielens-100k, lr + fm, fitted)"
    finally:
        (run._fitted_run().directory / "results.csv").unlink()


def test_users_say_who_they_are(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history, _, _ = windows(fitted, raw, "u3")
    user = fitted.adapt(history)
    rows = f"{len(history)} rows of history, adapts on 8, lr + fm)"
    assert repr(user) == f"AdaptedUser('u3', {rows}"
    assert "<td>2</td>" in user._repr_html_()  # a row for each inner step
    nobody = fitted.adapt(history.iloc[:0])
    assert repr(nobody) == "AdaptedUser(nobody, 0 rows of history, adapts on 0, lr + fm)"
    users = fitted.adapt_many(history)
    assert repr(users) == f"AdaptedUsers(1 users, {len(history)} rows of history, lr + fm)"


def test_markup_in_names_is_text(fitted: MetaSelector, raw: pd.DataFrame) -> None:
    history = windows(fitted, raw, "u3")[0].assign(user="<b>x</b>")
    with pytest.warns(UserWarning, match="unknown to the model"):
        assert "<b>" not in fitted.adapt(history)._repr_html_()


@pytest.mark.parametrize(
    ("make", "expected"),
    [
        (lambda: Config(), "Config()"),
        (lambda: Config(threads=1), "Config(threads=1)"),
        (
            lambda: load_config(None, changes={"adapt": {"steps": 3}, "seeds": [4]}),
            "Config(seeds=(4,), adapt=AdaptConfig(steps=3))",
        ),
        (
            lambda: load_config(None, changes={"dataset": "amazon-electronics"}),
            "Config(dataset='amazon-electronics')",
        ),
    ],
)
def test_a_configuration_shows_what_is_not_the_default(
    make: Callable[[], Config], expected: str
) -> None:
    assert repr(make()) == expected
