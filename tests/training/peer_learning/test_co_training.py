"""Co-training: rounds of labelling and training."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig, PeerLearningConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.windows import window_rows
from metaselector.training.loop.interruption import Interrupted
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.peer_learning import co_training as module
from metaselector.training.peer_learning.co_training import CoTraining, co_train, schedule
from metaselector.training.peer_learning.pairs import as_rows, in_data
from metaselector.training.peer_learning.together import Peer
from metaselector.training.predict import logloss
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
    trained_peers = peers()
    made = learn(trained_peers, dataset)
    kept_rounds = set()
    best: dict[int, list[float]] = {}
    for peer in trained_peers:
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
