"""Cosines of the embeddings of items."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from base_models import FM, LR
from metaselector.common.errors import ConfigError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.models.similarity.contract import Similarities, make_similarity

from .catalogue import (
    UNSEEN,
    all_pairs,
    catalogue,
    of_items,
    random_catalogue,
    random_episodes,
)

NO_ROWS, NONE = np.zeros(0, dtype=np.int64), np.zeros(0)


class Table(nn.Module):
    """A base model that is a table."""

    def __init__(self, rows: torch.Tensor, *, declared: bool = True) -> None:
        super().__init__()
        self.vectors = nn.Parameter(rows)
        self.tables = ("vectors",) if declared else ()


def made(dataset: EncodedDataset, **base_models: nn.Module) -> Similarities:
    return make_similarity(["embeddings"], dataset, base_models, NO_ROWS, NONE)


def test_cosines_by_hand() -> None:
    """Ids: 0 is padding, 1 unseen items, 2 to 5 the items of the vocabulary."""
    dataset = catalogue(of_items(6), [1, 2, 3, 4, UNSEEN, UNSEEN])
    rows = torch.tensor([[9.0, 9], [9, 9], [1, 0], [3, 4], [-2, 0], [0, 0]])
    found = made(dataset, table=Table(rows))(dataset, all_pairs(6))[0, :, :, 0]
    expected = torch.eye(6)  # an item is like itself, even if it has no direction or is unseen
    expected[0, 1] = expected[1, 0] = 0.6
    expected[1, 2] = expected[2, 1] = -0.6
    expected[0, 2] = expected[2, 0] = -1
    assert torch.equal(found, expected)


def test_the_first_name_with_embeddings_counts() -> None:
    dataset = catalogue(of_items(2), [1, 2])
    same, opposite = torch.ones(4, 2), torch.tensor([[1.0, 1], [1, 1], [1, 1], [-1, -1]])
    models = {
        "z": Table(same),
        "b": Table(opposite),
        "a1": Table(torch.ones(4, 1)),  # a weight for each id
        "a2": Table(torch.ones(5, 2)),  # not by id
        "a3": Table(torch.ones(4)),
        "a4": Table(same.clone(), declared=False),
        "a5": nn.Linear(2, 2),
    }
    episodes = all_pairs(2)
    for order in (list(models), sorted(models), sorted(models, reverse=True)):
        similarity = made(dataset, **{name: models[name] for name in order})
        assert similarity(dataset, episodes)[0, 0, 1, 0] == -1
    options = {"embeddings": {"base_model": "z"}}
    chosen = make_similarity(["embeddings"], dataset, models, NO_ROWS, NONE, options)
    assert chosen(dataset, episodes)[0, 0, 1, 0] == 1
    options = {"embeddings": {"base_model": "a4"}}
    with pytest.raises(
        ConfigError, match=r"'embeddings': base model 'a4' has no embeddings of items; .*: b, z"
    ):
        make_similarity(["embeddings"], dataset, models, NO_ROWS, NONE, options)


def test_no_embeddings_no_number() -> None:
    dataset = catalogue(of_items(3), [1, 2, 3])
    shape = dataset.schema.num_ids, dataset.schema.slot_fields
    assert made(dataset, lr=LR(*shape)).names == ()
    assert made(dataset).names == ()
    assert made(dataset, lr=LR(*shape), fm=FM(*shape)).names == ("embeddings",)


def test_a_copy_that_later_training_does_not_change() -> None:
    dataset = catalogue(of_items(2), [1, 2])
    model = Table(torch.ones(4, 2))
    similarity = made(dataset, table=model)
    nn.init.zeros_(model.vectors)
    assert (similarity(dataset, all_pairs(2)) == 1).all()


@pytest.mark.parametrize("seed", range(3))
def test_equal_to_a_loop(seed: int) -> None:
    generator = np.random.default_rng(seed)
    dataset = random_catalogue(generator)
    schema = dataset.schema
    table = torch.from_numpy(generator.normal(size=(schema.num_ids, 3)).astype(np.float32))
    episodes = random_episodes(dataset, generator, users=7, support=5, query=4)
    found = made(dataset, table=Table(table))(dataset, episodes)[..., 0]
    expected = torch.zeros_like(found)
    slot = schema.first_slot("item")
    for u, q, s in np.ndindex(*found.shape):
        rows = episodes.query[u, q], episodes.support[u, s]
        if min(rows) < 0:
            continue
        first, second = dataset.batch(np.array(rows)).ids[:, slot].tolist()
        if UNSEEN not in (first - 1, second - 1):
            a, b = table[first].double(), table[second].double()
            expected[u, q, s] = a @ b / (a @ a).sqrt() / (b @ b).sqrt()
        if dataset.items[rows[0]] == dataset.items[rows[1]]:
            expected[u, q, s] = 1
    np.testing.assert_array_max_ulp(found.numpy(), expected.numpy(), 1)
