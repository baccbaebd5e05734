"""States of similarities: the same numbers once restored, whoever the users are."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from base_models import FM
from metaselector.common.errors import ConfigError
from metaselector.config.plugins.kinds import SIMILARITIES
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.models.similarity.contract import Similarities, make_similarity
from metaselector.models.similarity.residuals import ResidualMatrix
from metaselector.models.similarity.saving import SimilarityState

from .catalogue import UNSEEN, all_pairs, catalogue, random_catalogue, random_episodes

ALL = ["features", "embeddings", "co-residuals"]


def models(dataset: EncodedDataset) -> dict[str, nn.Module]:
    return {"fm": FM(dataset.schema.num_ids, dataset.schema.slot_fields)}


def made(dataset: EncodedDataset, seed: int, **options: Any) -> Similarities:
    """On four of five rows."""
    generator = np.random.default_rng(seed)
    rows = np.flatnonzero(generator.random(len(dataset)) < 0.8)
    return make_similarity(
        ALL, dataset, models(dataset), rows, generator.random(len(rows)), options
    )


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("users", [3, 40])
def test_restored_numbers_are_the_same(seed: int, users: int) -> None:
    generator = np.random.default_rng(seed)
    dataset = random_catalogue(generator, users)
    options = {"co-residuals": {"shrink": float(seed), "cached_items": seed}}
    similarity = made(dataset, seed, **options)
    restored = SimilarityState.of(similarity.parts).restored(dataset.schema)
    assert restored.names == similarity.names == tuple(ALL)
    for _ in range(3):
        episodes = random_episodes(dataset, generator, users=5, support=7, query=4)
        expected = similarity(dataset, episodes)
        assert (expected != 0).flatten(0, 2).any(0).all()
        assert torch.equal(restored(dataset, episodes), expected)


def test_restored_numbers_of_rows_that_are_encoded_later() -> None:
    """Known and unknown items in another order; unknown ones are like themselves at most."""
    dataset = random_catalogue(np.random.default_rng(0))
    similarity = made(dataset, 0)
    restored = SimilarityState.of(similarity.parts).restored(dataset.schema)
    later = catalogue([(0, 0, 0), (0, 1, 0), (0, 2, 0), (0, 3, 0)], [7, UNSEEN, 2, UNSEEN], known=8)
    later = replace(
        later, schema=dataset.schema, item_cells=_cells(dataset, [7, UNSEEN, 2, UNSEEN])
    )
    found = restored(later, all_pairs(4))
    assert torch.equal(found, similarity(later, all_pairs(4)))
    unknown = found[0, [1, 3], :, 1:]
    assert unknown.nonzero().tolist() == [[0, 1, 0], [1, 3, 0]]  # `embeddings` of the same item


def _cells(dataset: EncodedDataset, words: list[int]) -> np.ndarray:
    cells = np.zeros((len(words), dataset.item_cells.shape[1]), dtype=np.int32)
    cells[:, 0] = dataset.schema.fields[0].first_id + np.array(words)
    return cells


@pytest.mark.parametrize("seed", range(3))
def test_the_order_of_users_does_not_matter(seed: int) -> None:
    """Neither to the numbers nor to what is saved, which therefore does not tell who they are."""
    generator = np.random.default_rng(seed)
    rows = [
        (user, int(item), int(generator.integers(2)))
        for user in range(30)
        for item in generator.integers(8, size=generator.integers(0, 9))
    ]
    words = [1, 2, 3, 4, 5, 6, UNSEEN, 7]
    p = {row: generator.random() for row in range(len(rows))}
    states, numbers = [], []
    for order in (np.arange(30), generator.permutation(30)):
        places = [i for user in order for i, row in enumerate(rows) if row[0] == user]
        rank = {int(user): place for place, user in enumerate(order)}
        dataset = catalogue([(rank[rows[i][0]], *rows[i][1:]) for i in places], words)
        given = np.arange(len(rows)), np.array([p[i] for i in places])
        similarity = make_similarity(["co-residuals"], dataset, {}, *given)
        states.append(SimilarityState.of(similarity.parts).tensors)
        item = {int(item): row for row, item in enumerate(dataset.items)}
        found = similarity(dataset, all_pairs(len(rows)))[0, :, :, 0]
        at = [item[i] for i in range(8)]
        numbers.append(found[at][:, at])
    assert numbers[0].count_nonzero() > 20
    assert torch.equal(*numbers)
    assert states[0].keys() == states[1].keys()
    for name, tensor in states[0].items():
        assert torch.equal(tensor, states[1][name])


def test_the_state_by_hand() -> None:
    """Users without an item that is known are left out; a residual of 0 stays."""
    rows = [(0, 2, 1), (1, 0, 1), (1, 1, 0), (2, 0, 0), (2, 0, 1), (3, 1, 1)]
    dataset = catalogue(rows, [1, 2, UNSEEN])
    p = np.array([0.5, 0.25, 0.5, 0.5, 0.5, 0.5])
    similarity = make_similarity(["co-residuals"], dataset, {}, np.arange(5), p[:5])
    numbers, tensors = SimilarityState.of(similarity.parts)
    assert numbers == {"co-residuals": ("co-residuals",)}
    found = {name.removeprefix("co-residuals/"): t.tolist() for name, t in tensors.items()}
    assert found["raters"] == [2, 1]
    assert found["shrink"] == 10
    (both,) = found["users"][2:]  # who has both items
    residuals = dict(zip(found["users"][:2], found["residuals"][:2], strict=True))
    assert residuals == {both: 0.75, 1 - both: 0}
    assert found["residuals"][2] == -0.5


def test_no_items_and_no_users() -> None:
    empty = catalogue([(0, 0, 1)], [UNSEEN], known=2)
    similarity = make_similarity(["co-residuals"], empty, {}, np.arange(1), np.array([0.5]))
    restored = SimilarityState.of(similarity.parts).restored(empty.schema)
    assert restored.names == ("co-residuals",)
    tabular = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
    none = make_similarity(ALL, tabular, models(tabular), np.arange(5), np.full(5, 0.5))
    assert SimilarityState.of(none.parts) == ({}, {})
    assert SimilarityState({}, {}).restored(tabular.schema).names == ()


def test_a_matrix_of_other_data_does_not_fit() -> None:
    dataset = random_catalogue(np.random.default_rng(1))
    saved = SimilarityState.of(made(dataset, 1).parts)
    tabular = planted_world(2, 10, 4, np.random.default_rng(0)).dataset.schema
    for name in ALL:
        own = {key: t for key, t in saved.tensors.items() if key.startswith(f"{name}/")}
        with pytest.raises(ValueError, match=f"similarity '{name}': "):
            SimilarityState({name: (name,)}, own).restored(tabular)
    with pytest.raises(ValueError, match="has no 'raters'"):
        ResidualMatrix.from_state({}, 3)


class Own:
    """A plug-in with a state."""

    names: Any = ("own",)

    def __init__(self, value: float = 0.5) -> None:
        self.value = value

    def __call__(self, dataset: Any, episodes: Any) -> Any:
        return torch.full((*episodes.query.shape, episodes.support.shape[1], 1), self.value)

    def state(self) -> Any:
        return {"value": torch.tensor(self.value)}

    @classmethod
    def from_state(cls, schema: Any, state: Any) -> Any:
        return cls(state["value"].item())


def raises(*given: Any) -> Any:
    raise KeyError("oh")


def test_a_plug_in_with_a_state(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "folder/own.py:Own"  # a name with a slash
    monkeypatch.setattr(SIMILARITIES, "load", lambda asked: {name: Own}[asked])
    dataset = random_catalogue(np.random.default_rng(0))
    saved = SimilarityState.of({name: Own(0.25)})
    assert list(saved.tensors) == [f"{name}/value"]
    restored = saved.restored(dataset.schema)
    assert (restored(dataset, all_pairs(2)) == 0.25).all()


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"state": None}, "^similarity 'own': has no method state, so .* and train again$"),
        ({"from_state": 3}, "has no method from_state, so a model that uses it cannot be saved"),
        ({"state": raises}, r"state\(\) fails \(KeyError: 'oh' \(test_saving.py:\d+\)\)"),
        ({"state": lambda self: None}, "must return a dictionary of tensors"),
        ({"state": lambda self: {"a": 1}}, "must return a dictionary of tensors"),
        ({"state": lambda self: {1: torch.ones(1)}}, "must return a dictionary of tensors"),
        ({"state": lambda self: {"a/b": torch.ones(1)}}, "whose names have no '/'"),
    ],
)
def test_a_plug_in_that_cannot_be_saved(changes: dict[str, Any], problem: str) -> None:
    with pytest.raises(ConfigError, match=problem) as raised:
        SimilarityState.of({"own": type("Other", (Own,), changes)()})
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("changes", "error", "problem"),
    [
        ({"from_state": None}, ConfigError, "'own': has no method from_state"),
        ({"from_state": raises}, ValueError, r"^similarity 'own': from_state.* fails \(KeyError"),
        ({"from_state": lambda *_: float("x")}, ValueError, "^similarity 'own': could not convert"),
        ({"from_state": lambda *_: None}, ConfigError, "'own': names must be a tuple"),
        ({"names": ("other",)}, ValueError, r"has the numbers \['other'\], but was saved with"),
    ],
)
def test_a_plug_in_that_cannot_be_restored(
    changes: dict[str, Any], error: type[Exception], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SIMILARITIES.registered, "own", type("Other", (Own,), changes))
    schema = random_catalogue(np.random.default_rng(0)).schema
    with pytest.raises(error, match=problem):
        SimilarityState.of({"own": Own()}).restored(schema)
