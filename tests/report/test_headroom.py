"""When the headroom among the files of a run no longer holds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from metaselector.report.headroom import HEADROOM_FIGURE, HEADROOM_FILE, drop_outdated
from tests.report.invented import LOSSES, headroom, results

MODELS = ["lr", "fm", "x"]
CURRENT = results({**LOSSES, "x": 0.59})
"""The best of the models has the logloss of the measured one, 0.58."""


def _kept(folder: Path, found: pd.DataFrame, table: str, models: list[str] = MODELS) -> bool:
    path, figure = folder / HEADROOM_FILE, folder / HEADROOM_FIGURE
    path.write_text(table)
    figure.parent.mkdir(exist_ok=True)
    figure.touch()
    drop_outdated(folder, found, models)
    assert path.exists() == figure.exists()
    return path.exists()


def test_headroom_of_the_same_models_is_kept(tmp_path: Path) -> None:
    assert _kept(tmp_path, CURRENT, headroom([0]).to_csv(index=False))
    two = pd.concat([CURRENT, CURRENT.assign(seed=1, logloss=CURRENT["logloss"] - 0.2)])
    assert _kept(tmp_path, two, headroom([0]).to_csv(index=False)), "one seed was measured"


@pytest.mark.parametrize(
    "change",
    [
        lambda table: table.replace({"value": {0.58: 0.57}}),
        lambda table: table.assign(window="valid"),
        lambda table: table.assign(seed=1),
        lambda table: table.drop(columns="n"),
        lambda table: table.iloc[:0],
    ],
)
def test_headroom_of_other_models_is_removed(
    tmp_path: Path, change: Callable[[pd.DataFrame], pd.DataFrame]
) -> None:
    assert not _kept(tmp_path, CURRENT, change(headroom([0])).to_csv(index=False))


def test_headroom_of_another_set_of_models_is_removed(tmp_path: Path) -> None:
    assert not _kept(tmp_path, CURRENT, headroom([0]).to_csv(index=False), ["lr", "fm"])


def test_without_headroom_nothing_happens(tmp_path: Path) -> None:
    drop_outdated(tmp_path, CURRENT, MODELS)
    assert not list(tmp_path.iterdir())
