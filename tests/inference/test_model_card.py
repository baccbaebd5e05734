"""A saved model carries a card that says what its run knows."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.common.errors import UserError
from metaselector.inference.model_card import CARD, CARD_DATA, ModelCard

QUICK = {
    "base_models": {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 1}}},
    "selector": {"hidden_size": 4, "epochs": 1},
    "adapt": {"support_size": 6},
    "meta_train": {"epochs": 1},
    "paper": {"epochs": 1},
    "evaluate": {"resamples": 2},
    "threads": 1,
}


@pytest.fixture(scope="module")
def model(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> MetaSelector:
    folder = tmp_path_factory.mktemp("card")
    made = MetaSelector(directory=folder / "run", **QUICK)
    return made.fit("movielens-100k", data=write_world(folder / "raw"))


def test_before_evaluation_there_are_no_numbers(model: MetaSelector, tmp_path: Path) -> None:
    model.save(tmp_path / "saved")
    text = (tmp_path / "saved" / CARD).read_text()
    assert text.startswith("# Model card: metaselector on movielens-100k\n")
    assert "Not measured. Run `metaselector evaluate`" in text
    for shown in (
        "rows: 1,200",
        "users: 40",
        "grouplens.org",
        "protocol: warm",
        "- lr: lr",
        "torch",
    ):
        assert shown in text, shown


def test_the_card_survives_saving_and_loading(model: MetaSelector, tmp_path: Path) -> None:
    model.save(tmp_path / "saved")
    again = MetaSelector.load(tmp_path / "saved")
    assert again.card == model.card
    again.save(tmp_path / "copy")
    assert (tmp_path / "copy" / CARD).read_bytes() == (tmp_path / "saved" / CARD).read_bytes()
    assert json.loads((tmp_path / "copy" / CARD_DATA).read_text()) == asdict(again.card)  # type: ignore[call-overload]


def test_the_numbers_are_those_of_the_table(model: MetaSelector) -> None:
    results = model.evaluate().set_index("model")
    card = model.card
    assert card is not None
    (row,) = card.metrics
    assert row["folder"] == "."
    for name in ("auc", "logloss"):
        assert row[name] == pytest.approx(results.loc["metaselector", name], abs=1e-6)
    run = model._fitted_run().directory
    differences = pd.read_csv(run / "differences.csv")
    expected = differences.query("model == 'metaselector' and metric == 'logloss'")
    assert [each["low"] for each in card.differences] == pytest.approx(expected["low"].tolist())
    assert f"| . | {row['auc']:.4f} | {row['logloss']:.4f} |" in card.markdown()

    other = run / "environment.json"  # of an evaluation on other data
    other.write_text(json.dumps({"data_sha256": "0" * 64}))
    assert model.card is not None
    assert model.card.metrics == []


def test_a_model_without_a_card(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no model card; save the model again"):
        ModelCard.read(tmp_path)
    (tmp_path / CARD_DATA).write_text('{"model": 1}')
    with pytest.raises(UserError, match="damaged"):
        ModelCard.read(tmp_path)
