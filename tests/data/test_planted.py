"""The planted world satisfies its equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from base_models import FM, LR
from metaselector.data.planted import TYPE_A, TYPE_B, PlantedWorld, planted_world
from metaselector.data.splitting.windows import window_rows

MARGIN = 0.05
"""Nats by which the right base model must win."""


@pytest.fixture(scope="module")
def world() -> PlantedWorld:
    return planted_world(100, 60, 40, np.random.default_rng(0))


def signs(world: PlantedWorld, name: str) -> np.ndarray:
    """The field ``cluster``, ``taste`` or ``mood`` of every row as -1 and +1."""
    schema = world.dataset.schema
    ids = world.dataset.cells[:, schema.first_slot(name)]
    return np.array([int(schema.word(id_).removeprefix(f"{name}=")) for id_ in ids])


def items(world: PlantedWorld) -> np.ndarray:
    return world.dataset.cells[:, 0] - world.dataset.schema.fields[0].first_id - 1


def row_types(world: PlantedWorld) -> np.ndarray:
    return world.user_types[world.dataset.users]


def entropy(p: np.ndarray) -> float:
    return float(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean())


def test_sizes(world: PlantedWorld) -> None:
    assert len(world.dataset) == 2 * 100 * 60
    assert np.bincount(world.user_types).tolist() == [100, 100]
    assert set(np.diff(world.dataset.user_offsets)) == {60}


def test_the_generator_decides_everything() -> None:
    first, same, other = (planted_world(4, 10, 8, np.random.default_rng(s)) for s in (0, 0, 1))
    assert first.dataset.digest() == same.dataset.digest()
    assert first.dataset.digest() != other.dataset.digest()
    assert np.array_equal(first.user_types, same.user_types)


def test_ids_stay_in_their_fields(world: PlantedWorld) -> None:
    for slot, field in enumerate(world.dataset.schema.fields):
        ids = world.dataset.cells[:, slot]
        assert ids.min() > field.first_id
        assert ids.max() < field.first_id + field.num_ids


def test_item_cluster_is_a_property_of_the_item(world: PlantedWorld) -> None:
    assert np.array_equal(signs(world, "cluster"), 2 * (items(world) % 2) - 1)


@pytest.mark.parametrize("name", ["taste", "mood"])
def test_users_have_one_taste_and_mood_balanced_within_each_type(
    world: PlantedWorld, name: str
) -> None:
    per_user = signs(world, name).reshape(200, 60)
    assert (per_user == per_user[:, :1]).all()
    for user_type in (TYPE_A, TYPE_B):
        assert per_user[world.user_types == user_type, 0].sum() == 0


def test_labels_were_drawn_from_the_probabilities(world: PlantedWorld) -> None:
    assert world.probabilities.min() > 0
    assert world.probabilities.max() < 1
    residual = world.dataset.labels - world.probabilities
    deviation = np.sqrt((world.probabilities * (1 - world.probabilities)).mean())
    for rows in (row_types(world) == TYPE_A, row_types(world) == TYPE_B):
        assert abs(residual[rows].mean()) < 4 * deviation / np.sqrt(rows.sum())


@pytest.mark.parametrize("user_type", [TYPE_A, TYPE_B])
def test_half_of_the_labels_are_positive(world: PlantedWorld, user_type: int) -> None:
    assert world.dataset.labels[row_types(world) == user_type].mean() == pytest.approx(
        0.5, abs=0.03
    )


def test_type_a_is_additive_in_logits(world: PlantedWorld) -> None:
    rows = row_types(world) == TYPE_A
    effect = 2 * (items(world) // 2 % 2) - 1
    p = world.probabilities[rows]
    expected = 0.3 * effect[rows] + 0.15 * signs(world, "mood")[rows]
    assert np.log(p / (1 - p)) == pytest.approx(expected)


def test_type_b_adds_the_product_of_taste_and_cluster(world: PlantedWorld) -> None:
    """Over the four kinds of (taste, cluster), and nothing else, B differs from A."""
    rows = row_types(world) == TYPE_B
    effect = 2 * (items(world) // 2 % 2) - 1
    logit = 0.3 * effect + 0.15 * signs(world, "mood")
    product = signs(world, "taste") * signs(world, "cluster")
    expected = 1 / (1 + np.exp(-logit)) + 0.38 * product
    assert world.probabilities[rows] == pytest.approx(expected[rows])


@pytest.mark.parametrize("name", ["taste", "cluster"])
def test_taste_and_cluster_alone_say_nothing(world: PlantedWorld, name: str) -> None:
    rows = row_types(world) == TYPE_B
    labels, sign = world.dataset.labels[rows], signs(world, name)[rows]
    assert labels[sign > 0].mean() == pytest.approx(labels[sign < 0].mean(), abs=0.05)


def test_any_additive_predictor_of_the_interaction_is_at_chance(world: PlantedWorld) -> None:
    """A linear fit of B's labels on taste and cluster explains nothing; their product does."""
    rows = row_types(world) == TYPE_B
    t, c = signs(world, "taste")[rows], signs(world, "cluster")[rows]
    labels = world.dataset.labels[rows].astype(np.float64)

    def explained(*columns: np.ndarray) -> float:
        x = np.stack([np.ones(len(labels)), *columns], axis=1)
        residual = labels - x @ np.linalg.lstsq(x, labels)[0]
        return 1 - residual.var() / labels.var()

    assert explained(t, c) < 0.005
    assert explained(t, c, t * c) > 0.5


def test_features_do_not_tell_the_types_apart(world: PlantedWorld) -> None:
    """Every (taste, cluster, mood) is as frequent among A's rows as among B's."""
    names = ("taste", "cluster", "mood")
    kind = sum((signs(world, name) > 0) * 2**i for i, name in enumerate(names))
    shares = [np.bincount(kind[row_types(world) == t]) / 6000 for t in (TYPE_A, TYPE_B)]
    assert shares[0] == pytest.approx(shares[1], abs=0.02)


def fit(model: torch.nn.Module, world: PlantedWorld, rows: np.ndarray) -> torch.nn.Module:
    """Train on all rows at once, a little regularised: quick, and near the optimum."""
    batch, labels = world.dataset.batch(rows), world.dataset.label(rows)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05, weight_decay=1e-4)
    for _ in range(100):
        optimizer.zero_grad()
        F.binary_cross_entropy_with_logits(model(batch), labels).backward()
        optimizer.step()
    return model


def test_the_right_model_of_each_type_is_better_by_a_margin(world: PlantedWorld) -> None:
    """Trained on the pooled early rows, evaluated on the test window."""
    dataset, schema = world.dataset, world.dataset.schema
    user_types = row_types(world)
    train, test = (window_rows(dataset.user_offsets, *edges) for edges in ((0, 60), (80, 100)))
    loss = {}
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        models = {
            "lr": LR(schema.num_ids, schema.slot_fields),
            "fm": FM(schema.num_ids, schema.slot_fields, embedding_size=4),
        }
    for name, model in models.items():
        logits = fit(model, world, train)(dataset.batch(test)).detach()
        rows = F.binary_cross_entropy_with_logits(logits, dataset.label(test), reduction="none")
        for user_type in (TYPE_A, TYPE_B):
            loss[name, user_type] = rows.numpy()[user_types[test] == user_type].mean()
    assert loss["lr", TYPE_A] < loss["fm", TYPE_A] - MARGIN
    assert loss["fm", TYPE_B] < loss["lr", TYPE_B] - MARGIN
    assert loss["lr", TYPE_A] == pytest.approx(
        entropy(world.probabilities[test][user_types[test] == TYPE_A]), abs=0.02
    )
