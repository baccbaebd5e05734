"""Which runs are refused sharded tables, before anything is trained."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from metaselector.common.errors import ConfigError
from metaselector.config import Config
from metaselector.data.planted import planted_world
from metaselector.runs.sharding import shard
from metaselector.training.distributed import workers

SCHEMA = planted_world(2, 5, 4, np.random.default_rng(0)).dataset.schema
AGGREGATOR = {"balance": "aggregator", "aggregator": "PCGrad"}
SCORES = {"scores": {"file": "scores.csv"}}


def refused(monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], n: int = 2) -> str:
    monkeypatch.setattr(workers, "count", lambda: n)
    config = Config.model_validate(settings)
    with pytest.raises(ConfigError) as error:
        shard(config, SCHEMA)
    assert "\n" not in str(error.value)
    return str(error.value)


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ({"device": "cuda"}, "device=cuda is not supported; use cpu"),
        ({"adapt": {"engine": "higher"}}, "adapt.engine=higher needs whole tables; use func"),
        ({"meta_train": {"comm": "fp16"}}, "meta_train.comm=fp16 is for whole tables"),
        ({"peer_learning": {"strategy": "mutual"}}, "base models that teach each other"),
        ({"transfer": {"init_from": "runs/x"}}, "transfer.init_from needs whole tables"),
        (
            {"base_models": {"fm": {}, "trees": {"estimator": "lightgbm.LGBMClassifier"}}},
            "base_models.trees: an estimator has no tables",
        ),
        (
            {"base_models": {"mmoe": {"pretrain": AGGREGATOR}}},
            "base_models.mmoe: pretrain.aggregator needs whole tables",
        ),
        ({"base_models": {"theirs": SCORES}}, "all base models are scores, without tables"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_need_whole_tables(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], problem: str
) -> None:
    assert refused(monkeypatch, settings).startswith(f"--shard-tables: {problem}")


def test_one_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "add --workers N" in refused(monkeypatch, {}, n=1)
