"""Co-training: what is labelled, what is learned, and a world in which it helps."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from base_models import LR
from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig, PeerLearningConfig, PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.splitting.windows import window_rows
from metaselector.training.freezing import Freezing
from metaselector.training.loop.interruption import Interrupted
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.peer_learning import co_training as module
from metaselector.training.peer_learning.co_training import CoTraining, co_train, schedule
from metaselector.training.peer_learning.confident import agreement, by_others, choose
from metaselector.training.peer_learning.pairs import as_rows, in_data
from metaselector.training.peer_learning.together import Peer
from metaselector.training.peer_learning.views import View
from metaselector.training.predict import logloss, predict
from metaselector.training.pretrain import Pretrained, pretrain

from .conftest import Interrupt, MakePeers, make

TEACHING = PeerLearningConfig(
    strategy="co-training", confidence=0.5, growth=0.2, most=0.5, rounds=3, patience=3
)


def windows(dataset: EncodedDataset) -> tuple[np.ndarray, np.ndarray]:
    return window_rows(dataset.user_offsets, 0, 80), window_rows(dataset.user_offsets, 80, 90)


def learn(
    peers: list[Peer],
    dataset: EncodedDataset,
    keep: Path | None = None,
    schedules: dict[str, list[int]] | None = None,
    **settings: Any,
) -> dict[str, Pretrained]:
    train, valid = windows(dataset)
    return co_train(
        peers,
        dataset,
        [train] * len(peers),
        TEACHING.model_copy(update=settings),
        np.random.default_rng(3),
        valid=None if schedules else valid,
        schedules=schedules,
        description="rounds",
        progress=Silent(),
        snapshots=None
        if keep is None
        else SnapshotDirectory(keep, {}, CheckpointConfig(seconds=1e9)),
    )


# What is chosen


def test_only_others_label_for_a_model() -> None:
    p = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.6, 0.8]])
    torch.testing.assert_close(by_others(p, 0), torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(by_others(p[:, :2], 1), p[:, 0])


def test_the_most_confident_of_either_class_are_chosen() -> None:
    labels = torch.tensor([0.95, 0.1, 0.6, 0.85, 0.01, 0.99, 0.2, 0.5])
    assert choose(labels, 0.8, 4, 0.5).tolist() == [0, 1, 4, 5]
    assert choose(labels, 0.8, 4, 0.75).tolist() == [0, 3, 4, 5]
    assert choose(labels, 0.97, 100, 0.5).tolist() == [4, 5]
    assert choose(labels, 0.5, 100, 0.5).tolist() == list(range(8))
    assert choose(labels, 0.8, 0, 0.5).tolist() == []


def test_agreement_counts_sides() -> None:
    p = torch.tensor([[0.9, 0.6, 0.1], [0.2, 0.3, 0.4]])
    assert agreement(p) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert agreement(p[:, :2]) == 1


# A round


def trained(dataset: EncodedDataset, peers: list[Peer]) -> CoTraining:
    """After round 0, with the pairs of round 1."""
    train, valid = windows(dataset)
    generator = np.random.default_rng(0)
    rows = [train] * len(peers)
    trainable = CoTraining(peers, dataset, rows, TEACHING, generator, valid, None)
    epoch = 0
    while int(trainable._at[0]) == 0:
        epoch += 1
        for piece in trainable.begin(epoch):
            trainable.gradients(piece, epoch)
            trainable.update()
        trainable.validate(epoch, 0.0, None)
    return trainable


def test_pairs_have_the_others_labels_and_are_no_rows(
    dataset: EncodedDataset, peers: MakePeers, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Tensor] = {}
    monkeypatch.setattr(
        module, "agreement", lambda p: seen.setdefault("p", p.clone()).mean().item()
    )
    trainable = trained(dataset, peers("lr", "fm"))
    known = in_data(dataset)
    n = len(windows(dataset)[0])
    for k, share in enumerate(trainable._shares):
        count = len(share.pairs.items)
        assert 0 < count <= int(TEACHING.growth * n)
        assert not np.isin(share.pairs.keys(dataset), known).any()
        labels = share.labels[:count]
        assert np.isin(labels.numpy(), seen["p"][:, 1 - k].numpy()).all()
        assert not labels.requires_grad
        assert set(np.unique(dataset.users[share.pairs.context])) <= set(range(40))
    assert trainable._at.tolist()[0] == 1
    start = make(dataset, "fm").state_dict()
    assert all(torch.equal(t, start[n]) for n, t in trainable.members[1].model.state_dict().items())


def test_a_step_weighs_pairs_beside_rows(dataset: EncodedDataset, peers: MakePeers) -> None:
    trainable = trained(dataset, peers("lr", "fm"))
    share = trainable._shares[0]
    trainable.begin(99)
    n = len(share.rows)
    piece = (torch.tensor([0, 5, n, n + 3]), None)
    total = trainable.gradients(piece, 99)

    model = make(dataset, "lr")
    made, place = as_rows(dataset, share.pairs)
    logits = [model(dataset.batch(share.rows[[0, 5]])), model(made.batch(place[[0, 3]]))]
    y = [torch.from_numpy(dataset.labels[share.rows[[0, 5]]]), share.labels[[0, 3]]]
    losses = [
        F.binary_cross_entropy_with_logits(z, of, reduction="sum")
        for z, of in zip(logits, y, strict=True)
    ]
    expected = (losses[0] + TEACHING.pair_weight * losses[1]) / 4
    assert total == pytest.approx(expected.item(), rel=1e-6)
    gradients = torch.autograd.grad(expected, list(model.parameters()))
    for parameter, gradient in zip(share.member.model.parameters(), gradients, strict=True):
        torch.testing.assert_close(parameter.grad, gradient)
    assert all(p.grad is None for p in trainable.members[1].model.parameters())


# Rounds


def test_round_0_is_training_alone(dataset: EncodedDataset, peers: MakePeers) -> None:
    """With one model that learns, its first draw is the same order as alone."""
    train, valid = windows(dataset)
    made = learn(peers("lr", "fm"), dataset, rounds=1)
    alone = pretrain(
        make(dataset, "lr"),
        dataset,
        train,
        peers("lr")[0].config,
        np.random.default_rng(3),
        valid=valid,
        epochs=6,
        description="alone",
        progress=Silent(),
    )
    first = made["lr"].history[0]
    assert first["round"] == first["pairs"] == 0
    assert first["agreement"] is None
    assert first["valid_loss"] == alone.history[0]["valid_loss"]


def test_rounds_are_in_the_history_and_the_best_is_kept(
    dataset: EncodedDataset, peers: MakePeers
) -> None:
    made_pupils = peers()
    made = learn(made_pupils, dataset)
    kept_rounds = set()
    best: dict[int, list[float]] = {}
    for peer in made_pupils:
        found = made[peer.name]
        by_epoch = {line["epoch"]: line for line in found.history}
        kept = by_epoch[found.epochs]
        kept_rounds.add(kept["round"])
        assert kept["valid_loss"] == logloss(peer.model, dataset, windows(dataset)[1])
        pairs = [line["pairs"] for line in found.history]
        assert pairs == sorted(pairs)
        assert max(pairs) <= TEACHING.most * len(windows(dataset)[0])
        for number in {line["round"] for line in found.history}:
            of = [line["valid_loss"] for line in found.history if line["round"] == number]
            best.setdefault(number, []).append(min(of))
        assert all(0 < line["agreement"] <= 1 for line in found.history if line["round"])
    assert len(best) > 1
    means = {number: np.mean(losses) for number, losses in best.items()}
    assert kept_rounds == {min(means, key=means.__getitem__)}


def test_rounds_end_after_patience(dataset: EncodedDataset, peers: MakePeers) -> None:
    for patience in (1, 2):
        made = learn(peers("lr", "fm"), dataset, patience=patience, pair_weight=50.0)["lr"]
        kept = next(x["round"] for x in made.history if x["epoch"] == made.epochs)
        assert made.history[-1]["round"] == min(kept + patience, 3)


def test_a_refit_repeats_the_rounds(dataset: EncodedDataset, peers: MakePeers) -> None:
    first = peers("lr", "fm")
    made = learn(first, dataset)
    schedules = {name: schedule(each) for name, each in made.items()}
    again = peers("lr", "fm")
    found = learn(again, dataset, schedules=schedules)
    for name, each in found.items():
        rounds = [line["round"] for line in each.history]
        assert [rounds.count(r) for r in sorted(set(rounds))] == schedules[name]
        assert {line["valid_loss"] for line in each.history} == {None}


def test_nothing_confident_ends_it(dataset: EncodedDataset, peers: MakePeers) -> None:
    made = learn(peers("lr", "fm"), dataset, confidence=0.999999)
    assert {line["round"] for line in made["lr"].history} == {0}


@pytest.mark.parametrize("step", [1, 45])
@pytest.mark.usefixtures("global_state")
def test_an_interrupted_training_ends_as_one_that_was_not(
    dataset: EncodedDataset,
    peers: MakePeers,
    tmp_path: Path,
    interrupt: Interrupt,
    step: int,
) -> None:
    whole = peers("lr", "deepfm")
    expected = learn(whole, dataset)
    interrupt(CoTraining, step)
    with pytest.raises(Interrupted):
        learn(peers("lr", "deepfm"), dataset, tmp_path / "kept")
    again = peers("lr", "deepfm")
    found = learn(again, dataset, tmp_path / "kept")
    for ours, theirs in zip(again, whole, strict=True):
        for name, tensor in theirs.model.state_dict().items():
            assert torch.equal(tensor, ours.model.state_dict()[name])
        assert found[ours.name].history == expected[ours.name].history
        assert found[ours.name].epochs == expected[ours.name].epochs


# A world in which it helps


def two_views(users: int, items: int, generator: np.random.Generator) -> EncodedDataset:
    """Items of two groups, which the label is; either of two fields of words alone tells it, and
    both say independent words of it. Every user has a row of each of a few items."""
    words = 30
    good = generator.integers(2, size=items)
    cells = np.stack([good * words + generator.integers(words, size=items) for _ in range(2)], 1)
    fields, first = [], 1
    for name in ("left", "right"):
        vocabulary = tuple(str(i) for i in range(2 * words))
        field = Field(
            name=name,
            kind="categorical",
            of="item",
            slots=1,
            first_id=first,
            vocabulary=vocabulary,
        )
        fields.append(field)
        first += field.num_ids
    rows = 12
    item = np.stack([generator.choice(items, rows, replace=False) for _ in range(users)]).ravel()
    schema = Schema(
        dataset="two-views",
        label_threshold=1,
        history_length=0,
        windows=(60, 80, 90),
        fields=tuple(fields),
    )
    start = np.array([field.first_id + 1 for field in fields])
    bare = EncodedDataset.of_rows(
        schema,
        cells=np.zeros((users * rows, 0), dtype=np.int32),
        labels=good[item].astype(np.float32),
        user_offsets=np.arange(users + 1) * rows,
        user_names=tuple(map(str, range(users))),
    )
    return replace(bare, items=item.astype(np.int32), item_cells=(cells + start).astype(np.int32))


def errors_of_two_views(confidence: float) -> list[float]:
    """Error rates on *test*, of a model for each view that has the labels of half of the users."""
    dataset = two_views(40, 400, np.random.default_rng(0))
    labelled = window_rows(dataset.user_offsets, 0, 20)
    half = dataset.users[labelled] < 20
    valid, test = (window_rows(dataset.user_offsets, *part) for part in ((80, 90), (90, 100)))
    config = PretrainConfig(learning_rate=0.1, weight_decay=1e-4, batch_size=16, epochs=20)
    peers = []
    for name, seen in (("left", [True, False]), ("right", [False, True])):
        model = View(LR(dataset.schema.num_ids, dataset.schema.slot_fields), seen)
        peers.append(Peer(name, model, config, 20, Freezing(name, {}, (), None)))
    peer_learning = PeerLearningConfig(
        strategy="co-training",
        confidence=confidence,
        growth=3.0,
        most=9.0,
        candidates=5.0,
        pair_weight=1.0,
        rounds=3,
        patience=3,
    )
    co_train(
        peers,
        dataset,
        [labelled[half], labelled[~half]],
        peer_learning,
        np.random.default_rng(0),
        valid=valid,
        description="views",
        progress=Silent(),
    )
    y = dataset.label(test) > 0
    return [((predict(p.model, dataset, test) > 0) != y).double().mean().item() for p in peers]


def test_two_sufficient_views_and_few_labels() -> None:
    """Each model knows the words of its view that its few labels show, and labels items by them
    whose word in the other view the other model has not seen: Blum and Mitchell's argument."""
    alone, taught = errors_of_two_views(1 - 1e-9), errors_of_two_views(0.7)
    assert all(ours < 0.75 * others for ours, others in zip(taught, alone, strict=True))
    assert min(alone) > 0.05
