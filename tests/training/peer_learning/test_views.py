"""What each of several models sees."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.config import Config, change_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.peer_learning.views import View, partition, viewed
from metaselector.training.predict import predict

from .conftest import make

FIELDS = {"lr": ["user", "age"], "fm": ["item", "genres"], "deepfm": ["item"]}


def config(**peer_learning: object) -> Config:
    given = {"strategy": "co-training", "views": "fields", "fields": FIELDS, **peer_learning}
    return change_config(Config(), {"peer_learning": given})


def test_a_model_sees_its_fields_and_no_others(dataset: EncodedDataset) -> None:
    model = make(dataset, "fm")
    seen = viewed(model, "fm", config(), dataset.schema)
    assert isinstance(seen, View)
    rows = np.arange(20)
    batch, slots = dataset.batch(rows), np.array(dataset.schema.slot_fields)
    names = np.array([field.name for field in dataset.schema.fields])[slots]
    hidden = torch.from_numpy(~np.isin(names, FIELDS["fm"]))
    blank = batch._replace(
        ids=batch.ids.masked_fill(hidden, 0), values=batch.values.masked_fill(hidden, 0)
    )
    with torch.no_grad():
        torch.testing.assert_close(predict(seen, dataset, rows), model(blank), rtol=0, atol=0)
        assert not torch.equal(model(blank), model(batch))
    assert set(seen.tables) == {"model.linear.weight", "model.embedding.weight"}
    assert "seen" not in seen.state_dict()


def test_a_view_is_a_base_model(dataset: EncodedDataset) -> None:
    slots = dataset.schema.num_slots
    model = View(make(dataset, "fm"), [True] * (slots - 1) + [False])
    assert model(dataset.batch(np.arange(4))).shape == (4,)


@pytest.mark.parametrize("strategy", ["independent", "mutual"])
def test_other_strategies_see_all(dataset: EncodedDataset, strategy: str) -> None:
    model = make(dataset, "fm")
    assert viewed(model, "fm", config(strategy=strategy), dataset.schema) is model


def test_fields_that_are_not_there(dataset: EncodedDataset) -> None:
    wrong = config(fields=FIELDS | {"fm": ["genre"]})
    with pytest.raises(ConfigError, match=r"peer_learning.fields.fm: .* did you mean 'genres'"):
        viewed(make(dataset, "fm"), "fm", wrong, dataset.schema)
    few = config(fields={"lr": ["user"]})
    with pytest.raises(ConfigError, match="no fields for base model 'fm'"):
        viewed(make(dataset, "fm"), "fm", few, dataset.schema)


@pytest.mark.parametrize("seed", [0, 1])
def test_parts_are_disjoint_and_hold_whole_users(dataset: EncodedDataset, seed: int) -> None:
    rows = np.arange(len(dataset))[::2]
    parts = partition(dataset, rows, 3, seed)
    assert np.array_equal(np.sort(np.concatenate(parts)), rows)
    users = [set(dataset.users[part].tolist()) for part in parts]
    assert sum(map(len, users)) == len(set.union(*users))
    again = partition(dataset, rows[:-100], 3, seed)
    for part, of_users in zip(again, users, strict=True):
        assert set(dataset.users[part].tolist()) <= of_users
    others = partition(dataset, rows, 3, seed + 1)
    assert not np.array_equal(parts[0], others[0])


def test_too_few_users_to_part(dataset: EncodedDataset) -> None:
    first = np.flatnonzero(dataset.users == 0)
    with pytest.raises(ConfigError, match=r"1 users .* too few for 2 parts"):
        partition(dataset, first, 2, 0)
