"""A new selector over base models."""

from __future__ import annotations

import pytest
from torch import nn

from base_models import LR
from metaselector.config import SelectorConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.build import build_mixture
from tests.meta.outer_world import CONFIG, equal, parameters, planted


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    return planted()


def test_a_new_selector_comes_from_the_seed(dataset: EncodedDataset) -> None:
    models: dict[str, nn.Module] = {}
    schema = dataset.schema
    models["lr"] = LR(schema.num_ids, schema.slot_fields)
    first, same, other = (build_mixture(models, dataset.schema, CONFIG, seed) for seed in (0, 0, 1))
    assert equal(parameters(first), parameters(same))
    assert not equal(parameters(first), parameters(other))
    assert not first.training


def test_the_selector_is_the_one_in_the_settings(dataset: EncodedDataset) -> None:
    settings = SelectorConfig(inputs=("disagreement",), temperature=2.0, uniform_mixing=0.1)
    models = {"lr": LR(dataset.schema.num_ids, dataset.schema.slot_fields)}
    made = build_mixture(
        models, dataset.schema, CONFIG.model_copy(update={"selector": settings}), 0
    )
    selector = made.selector
    assert (selector.inputs, selector.temperature, selector.uniform_mixing) == (
        {"disagreement"},
        2.0,
        0.1,
    )
    assert made.tables == {"base_models.lr.linear.weight"}
