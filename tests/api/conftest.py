"""A model fitted on a small world, for the tests of the Python API."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector import MetaSelector
from metaselector.data.public.atomic import read_atomic

SETTINGS = {
    "base_models": {
        "lr": {"pretrain": {"epochs": 1}},
        "fm": {"pretrain": {"epochs": 2}},
    },
    "selector": {"hidden_size": 4},
    "adapt": {"support_size": 8, "inner_lr_theta": 0.5},
    "meta_train": {"epochs": 1},
    "evaluate": {"resamples": 2},
    "threads": 1,
}
WriteWorld = Callable[..., Path]


@pytest.fixture(scope="session")
def world(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def raw(world: Path) -> pd.DataFrame:
    return read_atomic(world, "ml-100k").interactions.drop(columns="line")


@pytest.fixture(scope="session")
def fitted(world: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaSelector:
    directory = tmp_path_factory.mktemp("fitted") / "run"
    return MetaSelector(directory=directory, **SETTINGS).fit("movielens-100k", data=world)


def windows(fitted: MetaSelector, raw: pd.DataFrame, user: str) -> tuple[pd.DataFrame, ...]:
    """Raw rows before and in the user's test window, and where the latter are in the data set."""
    dataset = fitted._fitted_run().dataset
    place = dataset.user_names.index(user)
    first, stop = dataset.user_offsets[place : place + 2]
    cut = first + (stop - first) * 90 // 100
    rows = dataset.source_rows
    return raw.iloc[rows[first:cut]], raw.iloc[rows[cut:stop]], np.arange(cut, stop)
