"""Properties that every built-in base model has."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call

from base_models import FM, LR, DeepFM, MultiTaskModel
from metaselector.data.encoded.schema import Field, Schema
from metaselector.models import registry
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.testing import check_base_model

SLOT_FIELDS = [0, 1, 1, 2]
NUM_IDS = 9
OPTIONS: dict[str, dict[str, Any]] = {
    "lr": {},
    "fm": {"embedding_size": 3},
    "deepfm": {"embedding_size": 3, "hidden_sizes": (4, 4)},
    "additive": {"embedding_size": 3},
    "itemknn": {"embedding_size": 3, "history_field": "genres"},
    "sequence": {
        "embedding_size": 3,
        "history_field": "genres",
        "length": 2,
        "attention_size": 4,
        "hidden_sizes": (4,),
    },
    "shared-bottom": {"embedding_size": 2, "bottom_sizes": (4,), "tower_sizes": (3,)},
    "mmoe": {"embedding_size": 2, "experts": 3, "expert_sizes": (4, 3), "tower_sizes": (3,)},
    "cgc": {"embedding_size": 2, "expert_sizes": (3, 2), "tower_sizes": (3,)},
    "ple": {"embedding_size": 2, "shared_experts": 1, "expert_sizes": (4,), "tower_sizes": (4,)},
    "esmm": {"embedding_size": 2, "hidden_sizes": (4,)},
    "aitm": {"embedding_size": 2, "bottom_sizes": (4, 3), "tower_sizes": (3,)},
    "rnr": {"embedding_size": 3},
    "mran": {"embedding_size": 4, "tower_sizes": (3,)},
    "single-task": {"embedding_size": 2, "bottom_sizes": (4,), "tower_sizes": (3,)},
}


def has_tasks(name: str) -> bool:
    return issubclass(registry.model_class(name), MultiTaskModel)


def make_schema(name: str, slots: int = 2) -> Schema:
    """Three fields, the second with `slots` slots; two tasks if the model takes tasks."""
    several: dict[str, Any] = {"tasks": ("click", "buy"), "task_after": (-1, 0)}
    return Schema(
        **(several if has_tasks(name) else {}),
        dataset="tiny",
        label_threshold=1,
        history_length=0,
        windows=(60, 80, 90),
        fields=(
            Field(name="user", kind="categorical", slots=1, first_id=1, vocabulary=("u",)),
            Field(
                name="genres", kind="multivalued", slots=slots, first_id=3, vocabulary=("a", "b")
            ),
            Field(name="item", kind="categorical", slots=1, first_id=6, vocabulary=("x", "y")),
        ),
    )


def build(name: str, seed: int = 0, slots: int = 2) -> nn.Module:
    """A float64 model with all parameters far from 0."""
    model = registry.build_base_model(name, make_schema(name, slots), OPTIONS[name], seed).double()
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for p in model.parameters():
            p.copy_(torch.randn(p.shape, generator=generator, dtype=torch.float64))
    return model


@pytest.fixture(params=sorted(registry.BUILT_IN))
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def model(name: str) -> nn.Module:
    return build(name)


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    """Ids and values ``[2, 5, 4]``; the second slot of the second field is sometimes padding."""
    generator = torch.Generator().manual_seed(3)
    ids = torch.randint(1, NUM_IDS, (2, 5, 4), generator=generator)
    values = torch.rand((2, 5, 4), generator=generator, dtype=torch.float64)
    ids[0, :2, 2] = 0
    values[0, :2, 2] = 0
    return ids, values


def test_schema_of_this_test() -> None:
    assert make_schema("lr").num_ids == NUM_IDS
    assert make_schema("lr").slot_fields == SLOT_FIELDS


def test_conformance(name: str) -> None:
    check_base_model(name, OPTIONS[name])


def test_order_of_rows_does_not_matter(model: nn.Module, batch: Any) -> None:
    order = [3, 1, 4, 0, 2]
    shuffled = tuple(part[:, order] for part in batch)
    torch.testing.assert_close(model(shuffled), model(batch)[:, order], rtol=0, atol=1e-12)


def test_order_of_the_slots_of_a_field_does_not_matter(
    name: str, model: nn.Module, batch: Any
) -> None:
    order = [0, 2, 1, 3]
    swapped = tuple(part[..., order] for part in batch)
    if name == "sequence":
        assert (model(swapped) - model(batch)).abs().min() > 1e-6
    else:
        torch.testing.assert_close(model(swapped), model(batch), rtol=0, atol=1e-12)


def test_more_padding_slots_change_nothing(name: str) -> None:
    """The same model with an additional slot in the second field."""
    narrow, wide = (build(name, slots=slots) for slots in (1, 2))
    wide.load_state_dict(narrow.state_dict())
    ids, values = torch.tensor([[1, 4, 7]]), torch.ones(1, 3, dtype=torch.float64)
    wide_ids, wide_values = torch.tensor([[1, 4, 0, 7]]), torch.tensor([[1.0, 1, 0, 1]]).double()
    torch.testing.assert_close(
        wide((wide_ids, wide_values)), narrow((ids, values)), rtol=0, atol=1e-12
    )


def test_gradients_equal_finite_differences_twice(name: str) -> None:
    model = build(name)
    ids, values = torch.tensor([[1, 4, 0, 7]]), torch.tensor([[1.0, 1, 0, 0.5]]).double()
    params = {k: p.detach().requires_grad_() for k, p in model.named_parameters()}

    def logit(*leaves: Tensor) -> Tensor:
        with Intercept(Lookups().handlers):  # as all engines do
            return functional_call(model, dict(zip(params, leaves, strict=True)), ((ids, values),))

    assert torch.autograd.gradcheck(logit, tuple(params.values()))
    assert torch.autograd.gradgradcheck(logit, tuple(params.values()), fast_mode=has_tasks(name))


def pairs(vectors: Tensor) -> float:
    return sum(float(a @ b) for a, b in itertools.combinations(vectors, 2))


def test_fm_equals_the_naive_sum_over_pairs(batch: Any) -> None:
    model = build("fm").requires_grad_(False)
    ids, values = (part[0] for part in batch)
    expected = []
    for row, value in zip(ids, values, strict=True):
        vectors = model.embedding.weight[row] * value[:, None]
        linear = float((model.linear.weight[row, 0] * value).sum() + model.linear.bias)
        expected.append(linear + pairs(vectors))
    actual = model((ids, values)).tolist()
    assert actual == pytest.approx(expected, abs=1e-12)


def set_parameters(model: nn.Module, **values: Any) -> nn.Module:
    """Parameters by name, with ``__`` instead of dots."""
    with torch.no_grad():
        for name, value in values.items():
            model.get_parameter(name.replace("__", ".")).copy_(torch.tensor(value))
    return model


TINY = (torch.tensor([[1, 2]]), torch.tensor([[1.0, 0.5]]))


def test_lr_by_hand() -> None:
    model = set_parameters(LR(3, [0, 1]), linear__weight=[[9.0], [2.0], [-4.0]], linear__bias=[0.5])
    assert model(TINY).item() == 0.5 + 2.0 - 4.0 * 0.5


def test_fm_by_hand() -> None:
    model = set_parameters(
        FM(3, [0, 1], embedding_size=2),
        linear__weight=[[9.0], [2.0], [-4.0]],
        linear__bias=[0.5],
        embedding__weight=[[9.0, 9.0], [1.0, 2.0], [3.0, -1.0]],
    )
    interaction = (1.0 * 3.0 + 2.0 * -1.0) * 0.5
    assert model(TINY).item() == pytest.approx(0.5 + 2.0 - 4.0 * 0.5 + interaction)


def test_deepfm_by_hand() -> None:
    model = set_parameters(
        DeepFM(3, [0, 1], embedding_size=1, hidden_sizes=(2,)),
        linear__weight=[[9.0], [2.0], [-4.0]],
        linear__bias=[0.5],
        embedding__weight=[[9.0], [3.0], [4.0]],
        mlp__0__weight=[[1.0, 1.0], [-1.0, 0.0]],
        mlp__0__bias=[0.5, 1.0],
        mlp__2__weight=[[2.0, 7.0]],
        mlp__2__bias=[-1.0],
    )
    fields = 3.0, 4.0 * 0.5
    hidden = max(fields[0] + fields[1] + 0.5, 0), max(-fields[0] + 1.0, 0)
    deep = 2.0 * hidden[0] + 7.0 * hidden[1] - 1.0
    linear = 0.5 + 2.0 - 4.0 * 0.5
    assert model(TINY).item() == pytest.approx(linear + fields[0] * fields[1] + deep)


def test_deepfm_does_not_cross_the_slots_of_one_field() -> None:
    embedding = [[9.0], [3.0], [4.0]]
    crossed = DeepFM(3, [0, 1], embedding_size=1, hidden_sizes=(2,))
    pooled = DeepFM(3, [0, 0], embedding_size=1, hidden_sizes=(2,))
    outputs = []
    for model in (crossed, pooled):
        for name, p in model.named_parameters():
            if name.startswith("mlp"):
                nn.init.zeros_(p)
        outputs.append(set_parameters(model, embedding__weight=embedding)(TINY).item())
    assert outputs == [6.0, 0.0]


def test_untrained_linear_models_predict_a_half() -> None:
    assert math.isclose(torch.sigmoid(LR(3, [0, 1])(TINY)).item(), 0.5)
