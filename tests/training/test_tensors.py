"""Tensors of a file against those of a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from base_models import MultiTaskModel
from metaselector.data.encoded.schema import Field, Schema
from metaselector.models import registry
from metaselector.models.selector import GatedSelector
from metaselector.training.tensors import Room, TooLarge, is_finite, misfit, nonfinite, unfit

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


@pytest.mark.parametrize("name", sorted(set(registry.BUILT_IN) - {"lr"}))
def test_nothing_is_allocated_for_what_a_file_does_not_hold(name: str) -> None:
    several = issubclass(registry.model_class(name), MultiTaskModel)
    of = schema(("click", "buy") if several else ("click",))
    options: dict[str, Any] = {"length": 2} if name == "sequence" else {}
    state = registry.build_base_model(name, of, options, 0).state_dict()
    with Room(state):
        assert unfit(state, registry.build_base_model(name, of, options, 0)) is None
    options["embedding_size"] = 10**12
    with pytest.raises(TooLarge, match="1000000000000"), Room(state):
        registry.build_base_model(name, of, options, 0)


def test_the_selector_has_no_more_room_either() -> None:
    state = GatedSelector(9, [0, 1, 1, 2], 2).state_dict()
    with Room(state):
        assert unfit(state, GatedSelector(9, [0, 1, 1, 2], 2)) is None
    with pytest.raises(TooLarge), Room(state):
        GatedSelector(9, [0, 1, 1, 2], 2, hidden_size=10**12)


@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.zeros(n),
        lambda n: torch.empty((2, n)),
        lambda n: torch.ones(size=[n]),
        lambda n: torch.full((n, 1), 5.0),
        lambda n: torch.randn(n, 10, dtype=torch.float64),
        lambda n: [torch.rand(2**20) for _ in range(n)],
    ],
)
def test_room_is_counted(make: Callable[[int], Any]) -> None:
    with Room({"a": torch.zeros(2**10)}):
        make(10)
    with pytest.raises(TooLarge), Room({"a": torch.zeros(2**10)}):
        make(10**12)


EXPECTED = {"a": torch.zeros(2, 3), "mask": torch.tensor([0.0, -torch.inf])}


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        ({"a": torch.zeros(3, 2)}, "'a' has shape [3, 2], not [2, 3]"),
        ({"a": torch.zeros(2, 3).long()}, "'a' is int64, not float32"),
        ({"a": torch.zeros(2, 3).bool()}, "'a' is bool, not float32"),
        ({"a": torch.zeros(2, 3).half()}, "'a' is float16, not float32"),
        (
            {"aa": torch.zeros(1)},
            "has 'aa', which does not belong to these settings; did you mean 'a'?",
        ),
    ],
)
def test_misfits(changed: dict[str, Tensor], problem: str) -> None:
    assert misfit(EXPECTED | changed, EXPECTED) == problem


def test_what_is_missing() -> None:
    assert misfit({"a": EXPECTED["a"]}, EXPECTED) == "has no 'mask'"
    assert misfit({}, {}) is None
    assert misfit(EXPECTED, {}) == (
        "has 'a', which does not belong to these settings; no tensor is expected"
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
