"""Batch size and weight decay by the rows of data."""

from __future__ import annotations

import pytest

from metaselector.config import Config
from metaselector.config.training import PretrainConfig


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (0, 512),
        (10_000, 512),
        (353_000, 512),
        (354_000, 1024),
        (1_000_209, 2048),
        (1_500_000, 4096),
        (10**9, 4096),
    ],
)
def test_batches_grow_with_the_data(rows: int, expected: int) -> None:
    assert PretrainConfig().for_rows(rows).rows_per_step == expected


def test_a_given_batch_size_stays() -> None:
    assert PretrainConfig(batch_size=7).for_rows(10**6).rows_per_step == 7


def test_the_batch_size_is_unknown_before_the_data_is() -> None:
    with pytest.raises(ValueError, match="call for_rows"):
        _ = PretrainConfig().rows_per_step


@pytest.mark.parametrize(("rows", "expected"), [(100, 0.4), (200, 0.2), (2000, 0.02)])
def test_the_penalty_of_all_rows_together_stays(rows: int, expected: float) -> None:
    settings = PretrainConfig(weight_decay=0.2, weight_decay_rows=200).for_rows(rows)
    assert settings.weight_decay == pytest.approx(expected)
    assert settings.for_rows(rows) == settings  # once is enough


def test_a_penalty_that_is_meant_for_any_data_stays() -> None:
    assert PretrainConfig(weight_decay=0.2).for_rows(10**6).weight_decay == 0.2


def test_the_default_models_have_the_settings_of_movielens_100k() -> None:
    for model in Config().base_models.values():
        settings = model.pretrain.for_rows(100_000)
        assert settings.rows_per_step == 512
        assert settings.weight_decay == model.pretrain.weight_decay
