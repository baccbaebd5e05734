"""Initialise models from tensors of another run, without training anything."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from base_models import FM, LR, DeepFM
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import NUMBER, Field, Kind, Schema
from metaselector.training.transfer import Transferred, overlap, source_rows, transfer


def schema(*fields: tuple[str, Kind, tuple[str, ...]]) -> Schema:
    made, first = [], 1
    for name, kind, words in fields:
        made.append(Field(name=name, kind=kind, slots=1, first_id=first, vocabulary=words))
        first += len(words) + 1
    return Schema(
        dataset="d", label_threshold=1, history_length=0, windows=(60, 80, 90), fields=tuple(made)
    )


SOURCE = schema(
    ("user", "categorical", ("ann", "bob")),
    ("item", "categorical", ("x", "y", "z")),
    ("price", "numeric", (NUMBER,)),
)
TARGET = schema(
    ("user", "categorical", ("bob", "cat", "ann")),
    ("item", "categorical", ("z", "new", "y", "x")),
    ("price", "numeric", (NUMBER,)),
)
COMMON = {"user": ("ann", "bob"), "item": ("x", "y", "z")}


def ids(of: Schema, user: str | None, item: str | None) -> list[int]:
    """Of a row; None is the word for unseen words."""
    found = []
    for field, word in zip(of.fields, (user, item, NUMBER), strict=True):
        found.append(field.first_id if word is None else field.encoder()[word])
    return found


def rows(of: Schema) -> tuple[Tensor, Tensor]:
    """A row for each pair of common words, unseen ones among them, and one with padding."""
    pairs = [(u, i) for u in (*COMMON["user"], None) for i in (*COMMON["item"], None)]
    found = [ids(of, user, item) for user, item in pairs]
    padded = [*ids(of, "ann", "x")[:2], 0]
    prices = [[1.0, 1.0, 0.5 * n] for n in range(len(found))]
    return torch.tensor([*found, padded]), torch.tensor([*prices, [1.0, 1.0, 0.0]]).double()


def new(kind: type[nn.Module], of: Schema, seed: int, **options: object) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = kind(of.num_ids, of.slot_fields, **options).double()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.copy_(torch.randn_like(parameter))
    return model


def test_rows_follow_their_words() -> None:
    found = source_rows(SOURCE, TARGET).tolist()
    # padding; (unseen), bob, cat, ann; (unseen), z, new, y, x; (unseen), the number
    assert found == [0, 1, 3, -1, 2, 4, 7, -1, 6, 5, 8, 9]


def test_a_field_that_the_source_has_not() -> None:
    target = schema(("colour", "categorical", ("x",)), ("item", "categorical", ("x",)))
    assert source_rows(SOURCE, target).tolist() == [0, -1, -1, 4, 5]


@pytest.mark.parametrize("kind", [LR, FM, DeepFM])
def test_a_permuted_vocabulary_predicts_the_same(kind: type[nn.Module]) -> None:
    """Known answer: the same words, the same logits, whatever their ids; new ones stay fresh."""
    source, target = new(kind, SOURCE, 0), new(kind, TARGET, 1)
    fresh = {name: p.detach().clone() for name, p in target.named_parameters()}
    report = transfer(target, source.state_dict(), source_rows(SOURCE, TARGET), SOURCE.num_ids)
    with torch.no_grad():
        torch.testing.assert_close(target(rows(TARGET)), source(rows(SOURCE)), rtol=0, atol=0)
    unknown = source_rows(SOURCE, TARGET) < 0
    by_name = {line.parameter: line for line in report}
    assert list(by_name) == list(fresh)
    for name, parameter in target.named_parameters():
        if name in kind.tables:
            assert by_name[name] == Transferred(name, "by word", 10, 12)
            assert torch.equal(parameter[unknown], fresh[name][unknown])
        else:
            assert by_name[name] == Transferred(name, "copied", len(parameter), len(parameter))


def test_what_does_not_fit_is_new() -> None:
    source = new(DeepFM, SOURCE, 0, embedding_size=4, hidden_sizes=(5, 6))
    target = new(DeepFM, TARGET, 1, embedding_size=8, hidden_sizes=(5, 6, 7))
    before = {name: p.detach().clone() for name, p in target.named_parameters()}
    tensors = source.state_dict()
    report = transfer(target, tensors, source_rows(SOURCE, TARGET), SOURCE.num_ids)
    how = {line.parameter: line.how for line in report}
    assert how["linear.weight"] == "by word"
    assert how["embedding.weight"] == "new"
    for name, parameter in target.named_parameters():
        if how[name] == "new":
            assert torch.equal(parameter, before[name])
        elif how[name] == "copied":
            assert torch.equal(parameter, tensors[name])
    assert {name for name, kind in how.items() if kind == "copied"} >= {"linear.bias", "mlp.0.bias"}
    assert next(line for line in report if line.parameter == "embedding.weight").rows == 0


def dataset(of: Schema, users: tuple[str, ...]) -> EncodedDataset:
    n = len(users)
    cells = np.ones((n, len(of.fields)), dtype=np.int32)
    return EncodedDataset.of_rows(of, cells, np.ones(n), np.arange(n + 1), users)


def test_another_split_of_the_same_users_is_warned_of() -> None:
    target = dataset(TARGET, ("ann", "bob", "cat"))
    resplit = SOURCE.model_copy(update={"cold_seed": 3})
    (note,) = overlap(dataset(resplit, ("ann", "bob")), target)
    assert "shares 2 of the 3 users" in note
    assert not overlap(dataset(resplit, ("dan",)), target)
    assert not overlap(dataset(SOURCE, ("ann",)), target)
    assert not overlap(replace(target, schema=resplit.model_copy(update={"dataset": "e"})), target)


def test_other_fields_are_told_of() -> None:
    other = schema(("item", "categorical", ("x",)), ("user", "categorical", ("ann",)))
    (note,) = overlap(dataset(other, ("dan",)), dataset(TARGET, ("ann",)))
    assert note.startswith("note: the source has the fields item, user, this run user, item, price")
