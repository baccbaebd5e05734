"""Mistakes in any model or plug-in show before anything trains."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import meta_train_selectors, pretrain_base_models
from metaselector.runs.stages.try_out import ROWS, _some_rows, try_adaptation, try_base_models

WriteWorld = Callable[..., Path]

PLUGINS = '''
import numpy as np
import torch
from torch import nn

from base_models import BaseModel


class Bias(BaseModel):
    """A bias; what is wrong with it depends on the subclass."""

    def __init__(self, num_ids, slot_fields, size=1):
        super().__init__(num_ids, slot_fields)
        self.bias = nn.Parameter(torch.zeros(size))

    def forward(self, batch):
        return batch[1].sum(-1) * self.bias.sum()


class Wide(Bias):
    """Gives one logit too many, but only for large batches."""

    def forward(self, batch):
        logits = super().forward(batch)
        return logits.unsqueeze(-1) if logits.numel() > 9 else logits


class Detached(Bias):
    def forward(self, batch):
        return super().forward(batch).detach()


class Item(Bias):
    """Reads a value, which is no function of tensors."""

    def forward(self, batch):
        return super().forward(batch) * float(self.bias.sum().detach().item() < 1)


class Selector(nn.Module):
    tables = ()

    def __init__(self, num_models):
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(num_models))

    def forward(self, batch, probabilities):
        self.logits.sum().detach().item()
        return self.logits.softmax(0).expand(probabilities.shape)


class Similarity:
    names = ("same",)

    def __init__(self, dataset, base_models, training_rows, probabilities):
        pass

    def __call__(self, dataset, episodes):
        return torch.zeros(3)


class Rows:
    """A classifier that returns one column."""

    def fit(self, X, y):
        assert set(np.unique(y)) == {0, 1}

    def predict_proba(self, X):
        return np.zeros((len(X), 1))
'''


@pytest.fixture(scope="module")
def prepared(write_world: WriteWorld, tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("try-out")
    (folder / "own.py").write_text(PLUGINS)
    made = Run(folder / "run", load_config())
    prepare_run(made, write_world(folder / "raw"), folder / "data")
    return made


def run_of(prepared: Run, changes: dict[str, Any]) -> Run:
    """A run with one base model that works, and `changes`; OWN is the file of plug-ins."""
    own = str(prepared.directory.parent / "own.py")

    def named(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: named(inner) for key, inner in value.items()}
        if isinstance(value, list):
            return [named(inner) for inner in value]
        return value.replace("OWN", own) if isinstance(value, str) else value

    path = prepared.directory.parent / "lr.yaml"
    path.write_text("base_models: {lr: {}}")
    return Run(prepared.directory, load_config(path, changes=named(changes)))


def second(**settings: Any) -> dict[str, Any]:
    return {"base_models": {"second": settings}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (second(model="OWN:Wide"), r"^base_models\.second: cannot be trained on 64 .*ValueError"),
        (second(model="OWN:Detached"), r"^base_models\.second: cannot be trained .*RuntimeError"),
        (second(model="OWN:Bias", options={"size": "x"}), r"^base_models\.second: Bias cannot be"),
        (second(model="deepfm", options={"hidden_sizes": ["x"]}), r"^base_models\.second: DeepFM"),
        (second(model="OWN:Item"), r"^base_models\.second: cannot be adapted per user .*item\(\)"),
        (
            second(model="lr", pretrain={"balance": "uncertainty"}),
            r"^base_models\.second: pretrain\.balance: this model has a single task",
        ),
        (second(estimator="OWN:Rows"), r"second: predict_proba returns shape \[64, 1\] for"),
        (
            second(
                estimator="sklearn.linear_model.LogisticRegression", options={"max_iter": -3}
            ),
            r"^base_models\.second: sklearn.* cannot be fitted \(InvalidParameterError: .*max_iter",
        ),
        ({"selector": {"kind": "OWN:Selector"}}, r"^selector\.kind=.*: cannot be adapted per user"),
        (
            {"adapt": {"residuals": {"similarities": ["OWN:Similarity"]}}},
            r"^similarity '.*own.py:Similarity': returns float32 \[3\]",
        ),
    ],
)  # fmt: skip
def test_nothing_trains_before_a_mistake_shows(
    changes: dict[str, Any], message: str, prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaselector.runs.stages.train.pretrain", pytest.fail)
    with pytest.raises(ConfigError, match=message) as raised:
        pretrain_base_models(run_of(prepared, changes), Silent())
    assert "\n" not in str(raised.value)


def test_a_selector_is_tried_before_meta_training(
    prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("metaselector.runs.stages.train._learn", pytest.fail)
    with pytest.raises(ConfigError, match=r"^selector\.kind="):
        meta_train_selectors(run_of(prepared, {"selector": {"kind": "OWN:Selector"}}), Silent())


def test_what_the_machine_refuses_is_not_the_models_fault(
    prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: object) -> None:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB")

    monkeypatch.setattr("metaselector.runs.stages.try_out.labels_for", lambda *_: torch.zeros(64))
    monkeypatch.setattr(torch.Tensor, "backward", refuse)
    with pytest.raises(RuntimeError, match="out of memory"):
        try_base_models(run_of(prepared, {}))


def test_an_estimator_that_only_needs_more_rows_passes(
    prepared: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    neighbours = "sklearn.neighbors.KNeighborsClassifier"
    run = run_of(prepared, second(estimator=neighbours, options={"n_neighbors": ROWS + 1}))
    try_base_models(run)


def test_tries_leave_no_trace(prepared: Run, global_state: None) -> None:
    run = run_of(prepared, second(model="deepfm", options={"dropout": 0.5}))
    before = sorted(prepared.directory.rglob("*"))
    try_base_models(run)
    try_adaptation(run)
    assert sorted(prepared.directory.rglob("*")) == before


def test_the_rows_tried_have_both_classes_and_lie_in_early(prepared: Run) -> None:
    rows = _some_rows(prepared)
    assert len(rows) == len(set(rows)) == ROWS
    assert prepared.dataset.labels[rows].mean() == 0.5
    assert np.isin(rows, prepared.protocol.fitting_rows("early")).all()
