"""One single-task model per task, and the control for multi-task models."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from base_models import DeepFM, PerTask, SharedBottom, SingleTask

SLOT_FIELDS = [0, 1, 2, 2]
TASKS = [(None,), (0,), (None,)]


def deepfm() -> DeepFM:
    return DeepFM(9, SLOT_FIELDS, embedding_size=2, hidden_sizes=(3,))


def test_each_task_has_a_model_of_its_own(make: Any, rows: Any) -> None:
    model = make(PerTask, TASKS, make=deepfm)
    logits = model(rows)
    assert logits.shape == (7, 3)
    for t, single in enumerate(model.models):
        assert isinstance(single, DeepFM)
        assert torch.equal(logits[:, t], single(rows))
        groups = model.parameter_groups()
        model.zero_grad()
        model(rows)[:, t].sum().backward()
        moved = {key for key, p in model.named_parameters() if p.grad is not None and p.grad.any()}
        assert moved == {
            *groups[f"task-{t}"],
            *(key for key in groups["embedding"] if key.startswith(f"models.{t}.")),
        }


def test_tables_are_those_of_all_models(make: Any) -> None:
    model = make(PerTask, TASKS, make=deepfm)
    assert model.tables == tuple(
        f"models.{t}.{table}.weight" for t in range(3) for table in ("linear", "embedding")
    )
    assert not PerTask.tables  # of the instance, not the class


def test_models_start_apart() -> None:
    with torch.random.fork_rng(devices=[]):
        model = PerTask(9, SLOT_FIELDS, TASKS, deepfm)  # type: ignore[arg-type]
    first, second, _ = (single.embedding.weight for single in model.models)
    assert not torch.equal(first, second)


def test_a_model_without_tables(make: Any) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.logit = nn.Parameter(torch.zeros(1))

    model = make(PerTask, TASKS, make=Constant)
    assert model.tables == ()
    assert model.parameter_groups()["task-2"] == ("models.2.logit",)


@pytest.mark.parametrize("bottom_sizes", [(), (5,), (5, 4)])
def test_single_task_is_shared_bottom_of_one_task(
    make: Any, rows: Any, bottom_sizes: tuple[int, ...]
) -> None:
    options = {"embedding_size": 2, "bottom_sizes": bottom_sizes, "tower_sizes": (4, 3)}
    model = make(SingleTask, TASKS, **options)
    for t, own in enumerate(model.models):
        one = make(SharedBottom, [(None,)], seed=1 + t, **options)
        pairs = zip(one.parameters(), own.parameters(), strict=True)
        with torch.no_grad():
            for target, source in pairs:
                target.copy_(source)
        assert torch.equal(one(rows)[:, 0], model(rows)[:, t])


def test_shared_bottom_has_fewer_parameters_than_its_control(make: Any) -> None:
    shared, single = make(SharedBottom), make(SingleTask)
    size = {model: sum(p.numel() for p in model.parameters()) for model in (shared, single)}
    groups = shared.parameter_groups()
    common = sum(
        shared.get_parameter(key).numel() for key in groups["embedding"] + groups["shared"]
    )
    assert size[single] == size[shared] + common
