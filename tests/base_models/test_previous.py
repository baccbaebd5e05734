"""A task's prediction as an input of the next task."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import CGC, PLE, MMoE, SharedBottom

SIZES = {"embedding_size": 2, "tower_sizes": (4,)}
WITH_PREVIOUS: dict[str, tuple[Any, dict[str, Any]]] = {
    "shared-bottom": (SharedBottom, {**SIZES, "bottom_sizes": (6,)}),
    "mmoe": (MMoE, {**SIZES, "expert_sizes": (6,)}),
    "omoe": (MMoE, {**SIZES, "expert_sizes": (6,), "gates": "one"}),
    "cgc": (CGC, {**SIZES, "expert_sizes": (6,)}),
    "ple": (PLE, {**SIZES, "expert_sizes": (6,), "levels": 2}),
}


@pytest.mark.parametrize(
    ("previous", "moved"),
    [
        (None, {"embedding", "shared", "task-1"}),
        ("joined", {"embedding", "shared", "task-0", "task-1"}),
        ("detached", {"embedding", "shared", "task-1"}),
        ("isolated", {"task-1"}),
    ],
)
@pytest.mark.parametrize("name", WITH_PREVIOUS)
def test_what_the_loss_of_the_second_task_moves(
    make: Any, rows: Any, labels: Tensor, name: str, previous: str | None, moved: set[str]
) -> None:
    cls, options = WITH_PREVIOUS[name]
    model = make(cls, previous=previous, **options)
    groups = model.parameter_groups()
    if name == "ple" and previous != "isolated":
        moved = moved | {"task-0"}  # the shared gate reads its first experts
    for task, expected in ((1, moved), (0, {"embedding", "shared", "task-0"})):
        model.zero_grad()
        model.losses(rows, labels).tasks[task].backward()
        grads = {key: p.grad for key, p in model.named_parameters()}
        found = {
            group
            for group, keys in groups.items()
            if any(grads[key] is not None and grads[key].any() for key in keys)
        }
        if name == "ple" and task == 0:
            found.discard("task-1")
        assert found == expected
        if task == 1:  # all parameters of the task learn
            assert all(grads[key].any() for key in groups["task-1"])
    if name == "ple":  # only below the last level
        loss = model.losses(rows, labels).tasks[1]
        tower = list(model.towers[0].parameters())
        grads = torch.autograd.grad(loss, tower, materialize_grads=True)
        assert any(grad.any() for grad in grads) == (previous == "joined")


@pytest.mark.parametrize("name", WITH_PREVIOUS)
def test_detaching_changes_no_prediction(make: Any, rows: Any, name: str) -> None:
    cls, options = WITH_PREVIOUS[name]
    joined, detached, isolated = (
        make(cls, previous=previous, **options) for previous in ("joined", "detached", "isolated")
    )
    assert torch.equal(joined(rows), detached(rows))
    assert torch.equal(joined(rows), isolated(rows))


def test_the_task_it_is_after_or_else_the_last_one_is_read(make: Any, rows: Any) -> None:
    model = make(SharedBottom, [(None,), (None,), (0,), (None,)], previous="joined", **SIZES)
    x = model.bottom(model.embed(rows))
    logits = model(rows)
    for t, read in enumerate([None, 0, 0, 2]):
        given = x if read is None else torch.cat([x, logits[:, read : read + 1]], dim=-1)
        torch.testing.assert_close(model.towers[t](given)[:, 0], logits[:, t], rtol=0, atol=1e-12)
