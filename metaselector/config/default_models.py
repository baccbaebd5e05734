"""The base models of a run whose settings name none.

Settings as a configuration file would have them; each was chosen on the valid window of its data,
which for single-task models is MovieLens-100K's.
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
"""Data sets of several tasks, by name; all others have single-task models."""

KNOWN = SINGLE_TASK | MULTI_TASK
"""What a model starts from whose settings are given in part, whatever the data."""


def default_base_models(dataset: str) -> dict[str, dict[str, Any]]:
    """Settings by base model for the data set called `dataset`."""
    return OF_DATASETS.get(dataset, SINGLE_TASK)
