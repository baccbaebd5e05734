"""Default base models, for runs whose settings name none.

Written as in a configuration file. Each value was chosen on a valid window: single-task models on
MovieLens-100K, multi-task models on their own data set.
"""

from __future__ import annotations

from typing import Any

SINGLE_TASK: dict[str, dict[str, Any]] = {
    "lr": {"pretrain": {"weight_decay": 1e-5}},
    "fm": {"pretrain": {"weight_decay": 1e-4}},
    "deepfm": {"options": {"dropout": 0.2}, "pretrain": {"weight_decay": 2e-4}},
}
MULTI_TASK: dict[str, dict[str, Any]] = {"shared-bottom": {}, "mmoe": {}, "ple": {}}
OF_DATASETS = {"movielens-100k-funnel": MULTI_TASK, "census-income": MULTI_TASK}
"""Multi-task data sets, by name; all others have single-task models."""

KNOWN = SINGLE_TASK | MULTI_TASK
"""Defaults that a model's given settings override, on any data set."""


def default_base_models(dataset: str) -> dict[str, dict[str, Any]]:
    """Settings of each base model, by name, for the data set called `dataset`."""
    return OF_DATASETS.get(dataset, SINGLE_TASK)
