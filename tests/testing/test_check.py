"""The conformance suite catches broken models and says what is wrong."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from base_models import FM, LR, BaseModel, Batch, MultiTaskModel
from metaselector.common.errors import ConfigError
from metaselector.testing import check_base_model


class Good(BaseModel):
    """A model with embeddings, a hidden layer and a bias."""

    tables = ("table",)

    def __init__(self, num_ids: int, slot_fields: Sequence[int], size: int = 3) -> None:
        super().__init__(num_ids, slot_fields)
        self.table = nn.Parameter(torch.randn(num_ids, size))
        self.hidden = nn.Linear(size, 4)
        self.output = nn.Linear(4, 1)

    def pooled(self, batch: Batch) -> Tensor:
        ids, values = batch
        return (F.embedding(ids, self.table) * values.unsqueeze(-1)).sum(-2)  # [..., B, D]

    def forward(self, batch: Batch) -> Tensor:
        return self.output(torch.tanh(self.hidden(self.pooled(batch)))).squeeze(-1)


class Squeezes(Good):
    def forward(self, batch: Batch) -> Tensor:
        return self.output(self.hidden(self.pooled(batch))).squeeze()


class CountsFromTheLeft(Good):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).flatten(0)[: batch[0].shape[0]]


class RunningStatistics(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.norm = nn.BatchNorm1d(3)

    def forward(self, batch: Batch) -> Tensor:
        pooled = self.pooled(batch)
        flat = self.norm(pooled.reshape(-1, 3)).reshape(pooled.shape)
        return self.output(torch.tanh(self.hidden(flat))).squeeze(-1)


class BatchStatistics(Good):
    def forward(self, batch: Batch) -> Tensor:
        logits = super().forward(batch)
        return logits - logits.mean()


class Forgets(Good):
    tables = ()


class ForgetsOne(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.bias = nn.Parameter(torch.randn(num_ids))

    def forward(self, batch: Batch) -> Tensor:
        ids, values = batch
        return super().forward(batch) + (self.bias[ids] * values).sum(-1)


class NoSuchTable(Good):
    tables = ("tabel",)


class ShortTable(Good):
    tables = ("table", "hidden.weight")


class WrongIds(Good):
    """Looks up other rows than the ids say."""

    def pooled(self, batch: Batch) -> Tensor:
        ids, values = batch
        return super().pooled((torch.where(ids > 2, ids - 1, ids), values))


class IdsAsNumbers(Good):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + batch[0].to(batch[1].dtype).mean(-1)


class IgnoresValues(Good):
    def pooled(self, batch: Batch) -> Tensor:
        return F.embedding(batch[0], self.table).sum(-2)


class Unused(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.spare = nn.Parameter(torch.ones(2))


class Detaches(Good):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).detach()


class Keeps(Good):
    """Reads a parameter in the constructor instead of in forward."""

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.kept = [self.output.bias]

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + self.kept[0]


class _Once(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        ctx.save_for_backward(x)
        return x**3

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return 3 * x**2 * gradient


class Once(Good):
    def forward(self, batch: Batch) -> Tensor:
        return _Once.apply(super().forward(batch))


class Noisy(Good):
    def forward(self, batch: Batch) -> Tensor:
        return F.dropout(super().forward(batch), 0.5)


class Unseeded(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        noise = np.random.default_rng().normal(size=(num_ids, 3))
        self.table = nn.Parameter(torch.from_numpy(noise).float())


class Tied(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.register_buffer("view", self.hidden.bias.data)


class Unsaved(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.register_buffer("shift", torch.randn(1), persistent=False)

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) + self.shift


class Branches(Good):
    def forward(self, batch: Batch) -> Tensor:
        logits = super().forward(batch)
        return logits if logits.sum().item() else -logits


class Halves(Good):
    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch).float()


class Swallows(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int], **options: Any) -> None:
        super().__init__(num_ids, slot_fields)


class Demands(Good):
    def __init__(self, num_ids: int, slot_fields: Sequence[int], size: int) -> None:
        super().__init__(num_ids, slot_fields, size)


class WrongOrder(Good):
    def __init__(self, slot_fields: Sequence[int], num_ids: int) -> None:
        super().__init__(num_ids, slot_fields)


class NoSuchArgument(Good):
    fields: ClassVar = {"item_field": "item"}


class OneTask(MultiTaskModel):
    tables = ("table",)

    def __init__(self, num_ids: int, slot_fields: Sequence[int], tasks: Any) -> None:
        super().__init__(num_ids, slot_fields, tasks)
        self.table = nn.Parameter(torch.randn(num_ids, 1))

    def forward(self, batch: Batch) -> Tensor:
        return (F.embedding(batch[0], self.table).squeeze(-1) * batch[1]).sum(-1)


BROKEN = [
    (Squeezes, r"returns \[\] on ids \[1, \d+\], expected logits \[1\]; common causes are squeeze"),
    (CountsFromTheLeft, r"on ids \[2, 3, \d+\], expected logits \[2, 3\]"),
    (RunningStatistics, "forward changes 'norm.running_mean' in training mode"),
    (BatchStatistics, "a row's logit depends on other rows"),
    (Forgets, "logits differ; table has one row per id"),
    (ForgetsOne, "bias has one row per id: add it to `tables`"),
    (NoSuchTable, "tables lists 'tabel', not a parameter; did you mean 'table'"),
    (ShortTable, r"table 'hidden.weight' has 4 rows; it must have num_ids"),
    (WrongIds, "logits differ; index tables with the unchanged ids"),
    (IdsAsNumbers, "index tables with the unchanged ids, and use ids for nothing else"),
    (IgnoresValues, "row 0 of its tables, which padding reads, changes logits"),
    (Unused, "parameter 'spare' gets no gradient"),
    (Detaches, "no gradient reaches its parameters"),
    (Keeps, "functional_call with other parameters differs"),
    (Once, "its second derivative is wrong or missing"),
    (Noisy, "in evaluation mode a second forward returns different logits"),
    (Unseeded, "'table' does not depend on the seed alone"),
    (Tied, "cannot be saved and loaded with safetensors"),
    (Unsaved, "after saving and loading its logits differ"),
    (Branches, "cannot be adapted per user"),
    (Halves, "logits are torch.float32, but values are torch.float64"),
    (Swallows, r"takes \*options, which hides"),
    (Demands, "option 'size' has no default"),
    (WrongOrder, "the first two arguments must be num_ids and slot_fields"),
    (NoSuchArgument, "fields lists 'item_field', which is not an argument"),
    (OneTask, r"returns \[6\] on ids \[6, \d+\], expected logits \[6, 2\]"),
]


@pytest.mark.parametrize(
    ("model", "problem"), BROKEN, ids=lambda case: getattr(case, "__name__", "")
)
def test_what_is_broken_is_told(model: type[nn.Module], problem: str) -> None:
    with pytest.raises(AssertionError) as caught:
        check_base_model(model)
    assert re.search(problem, str(caught.value)), str(caught.value)
    assert str(caught.value).startswith(f"{model.__name__}: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("global_state")
def test_a_good_model_passes() -> None:
    check_base_model(Good)
    check_base_model(Good, {"size": 2}, seed=1)
    check_base_model(Demands, {"size": 2})
    check_base_model("fm", {"embedding_size": 2})


def test_wrong_names_and_options_are_mistakes_of_the_caller() -> None:
    with pytest.raises(ConfigError, match="did you mean 'deepfm'"):
        check_base_model("depfm")
    with pytest.raises(ConfigError, match="did you mean 'embedding_size'"):
        check_base_model(FM, {"embeding_size": 2})


class Reader(LR):
    """Needs a field."""

    fields: ClassVar = {"shop_field": "shop"}

    def __init__(self, num_ids: int, slot_fields: Sequence[int], shop_field: int) -> None:
        super().__init__(num_ids, slot_fields)
        assert slot_fields.count(shop_field) == 1


def test_the_data_have_the_fields_that_a_model_names() -> None:
    check_base_model(Reader)


class Scaled(LR):
    """Has a parameter without an axis."""

    def __init__(self, num_ids: int, slot_fields: Sequence[int]) -> None:
        super().__init__(num_ids, slot_fields)
        self.scale = nn.Parameter(torch.ones(()))

    def forward(self, batch: Batch) -> Tensor:
        return super().forward(batch) * self.scale


def test_a_parameter_may_be_a_single_number() -> None:
    check_base_model(Scaled)
