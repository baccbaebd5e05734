"""Tensors of a file against those of a model."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from base_models import MultiTaskModel
from metaselector import registry
from metaselector.data.schema import Field, Schema
from metaselector.selection_config import SelectorInput
from metaselector.selector import GatedSelector
from metaselector.trust.tensors import is_finite, misfit, misfit_unbuilt, nonfinite

WORDS = ("a", "b")


def schema(tasks: tuple[str, ...]) -> Schema:
    return Schema(
        dataset="tiny",
        tasks=tasks,
        task_after=tuple(range(-1, len(tasks) - 1)),
        label_threshold=1,
        history_length=2,
        windows=(60, 80, 90),
        fields=(
            Field(name="user", kind="categorical", slots=1, first_id=1, vocabulary=WORDS),
            Field(name="item", kind="categorical", slots=1, first_id=4, vocabulary=WORDS),
            Field(name="history_items", kind="sequence", slots=2, first_id=7, vocabulary=WORDS),
        ),
    )


@pytest.mark.parametrize("name", sorted(registry.BUILT_IN))
def test_every_base_model_is_compared_before_it_is_built(name: str) -> None:
    tasks = (
        ("click", "buy") if issubclass(registry.model_class(name), MultiTaskModel) else ("click",)
    )
    parameters = {"length": 2} if name == "sequence" else {}

    def make() -> nn.Module:
        return registry.create(name, schema(tasks), parameters, 0)

    state = make().state_dict()
    assert misfit_unbuilt(state, make) is None
    first = next(iter(state))
    longer = state | {first: torch.zeros(len(state[first]) + 1, *state[first].shape[1:])}
    assert misfit_unbuilt(longer, make) is not None


def test_the_selector_is_compared_before_it_is_built() -> None:
    def make() -> nn.Module:
        return GatedSelector(9, [0, 1, 1, 2], 2, sees=get_args(SelectorInput))

    state = make().state_dict()
    assert misfit_unbuilt(state, make) is None
    assert misfit_unbuilt(state | {"hidden.bias": torch.zeros(1)}, make) is not None


def test_nothing_is_allocated_for_what_the_file_does_not_hold() -> None:
    def make() -> nn.Module:
        return nn.Linear(10**8, 10**8)  # 40 PB

    found = {"weight": torch.zeros(2, 2), "bias": torch.zeros(2)}
    assert misfit_unbuilt(found, make) == "'weight' has shape [2, 2], not [100000000, 100000000]"


def test_a_model_whose_constructor_needs_numbers_passes() -> None:
    class Needs(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            assert torch.ones(1).item() == 1

    assert misfit_unbuilt({}, Needs) is None


EXPECTED = {"a": torch.zeros(2, 3), "mask": torch.tensor([0.0, -torch.inf])}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"a": torch.zeros(3, 2)}, "'a' has shape [3, 2], not [2, 3]"),
        ({"a": torch.zeros(2, 3).long()}, "'a' is int64, not float32"),
        ({"a": torch.zeros(2, 3).bool()}, "'a' is bool, not float32"),
        ({"a": torch.zeros(2, 3).half()}, "'a' is float16, not float32"),
        ({"aa": torch.zeros(1)}, "has 'aa', which its settings do not ask for; did you mean 'a'?"),
    ],
)
def test_misfits(changed: dict[str, Tensor], problem: str) -> None:
    assert misfit(EXPECTED | changed, EXPECTED) == problem


def test_what_is_missing() -> None:
    assert misfit({"a": EXPECTED["a"]}, EXPECTED) == "has no 'mask'"
    assert misfit({}, {}) is None
    assert misfit(EXPECTED, {}) == (
        "has 'a', which its settings do not ask for; there should be none"
    )


@pytest.mark.parametrize("number", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_a_single_nonfinite_number_is_found(number: float, dtype: torch.dtype) -> None:
    tensor = torch.zeros(5, dtype=dtype)
    assert is_finite(tensor)
    tensor[3] = number
    assert nonfinite({"a": tensor}, EXPECTED) == "'a' holds non-finite numbers"


def test_what_may_be_nonfinite() -> None:
    assert nonfinite(EXPECTED, EXPECTED) is None
    assert nonfinite({"n": torch.zeros(0), "i": torch.ones(2).long(), "s": torch.zeros(())}) is None
