"""Trees of tensors come apart and together again."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from metaselector.data.encoded.batch import Batch
from metaselector.models.kernels.trees import detached, flatten, unflatten


@pytest.mark.parametrize(
    "tree",
    [
        torch.ones(2),
        None,
        (),
        {},
        (torch.ones(1), None, {"a": torch.zeros(2), "b": ()}),
        [torch.ones(1), (torch.zeros(1),)],
        Batch(torch.arange(3), torch.ones(3)),
        {"x": (Batch(torch.arange(3), torch.ones(3)), {"y": (torch.ones(1), torch.zeros(1))})},
    ],
)
def test_there_and_back(tree: Any) -> None:
    leaves, spec = flatten(tree)
    again, same = flatten(unflatten(spec, iter(leaves)))
    assert all(one is two for one, two in zip(leaves, again, strict=True))
    assert hash(spec) == hash(same)
    assert spec == same


def test_named_tuples_keep_their_type() -> None:
    leaves, spec = flatten({"batch": Batch(torch.arange(3), torch.ones(3))})
    assert type(unflatten(spec, iter(leaves))["batch"]) is Batch


def test_detached_trees_have_no_graph() -> None:
    weight = torch.ones(2, requires_grad=True)
    tree = detached({"a": weight * 2, "b": [weight + 1, None]})
    assert not tree["a"].requires_grad
    assert torch.equal(tree["a"], torch.full((2,), 2.0))
    assert not tree["b"][0].requires_grad
    assert tree["b"][1] is None


def test_other_names_are_another_tree() -> None:
    one, two = torch.ones(1), torch.ones(1)
    assert flatten({"a": one, "b": two})[1] != flatten({"a": one, "c": two})[1]
    assert flatten((one, two))[1] != flatten({"a": one, "b": two})[1]


@pytest.mark.parametrize("tree", [3.0, [torch.ones(1), 2], (torch.ones(1), "a")])
def test_nothing_else_is_in_a_tree(tree: Any) -> None:
    with pytest.raises(TypeError, match="no tree of tensors"):
        flatten(tree)
