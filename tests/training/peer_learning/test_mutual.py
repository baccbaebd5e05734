"""Deep mutual learning: its loss by hand, and what it leaves alone."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from base_models import FM
from metaselector.common.errors import ConfigError
from metaselector.common.progress import Silent
from metaselector.config.training import CheckpointConfig, PeerLearningConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.splitting.windows import window_rows
from metaselector.training.loop.divergence import Diverged
from metaselector.training.loop.interruption import Interrupted
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.peer_learning.mutual import Mutual, divergence, learn_mutually
from metaselector.training.peer_learning.together import Peer
from metaselector.training.predict import predict
from metaselector.training.pretrain import Pretrained, pretrain

from .conftest import Interrupt, MakePeers, make

TEACHING = PeerLearningConfig(strategy="mutual", weight=0.7, warm_up=1)


def windows(dataset: EncodedDataset) -> tuple[np.ndarray, np.ndarray]:
    offsets = dataset.user_offsets
    return window_rows(offsets, 0, 80), window_rows(offsets, 80, 90)


def learn(
    peers: list[Peer],
    dataset: EncodedDataset,
    keep: Path | None = None,
    refit: bool = False,
    **settings: Any,
) -> dict[str, Pretrained]:
    train, valid = windows(dataset)
    kept = CheckpointConfig(seconds=1e9)
    return learn_mutually(
        peers,
        dataset,
        train,
        TEACHING.model_copy(update=settings),
        np.random.default_rng(3),
        valid=None if refit else valid,
        description="together",
        progress=Silent(),
        snapshots=None if keep is None else SnapshotDirectory(keep, {}, kept),
    )


def weights(peers: list[Peer]) -> dict[str, Tensor]:
    return {f"{p.name}.{n}": t for p in peers for n, t in p.model.state_dict().items()}


def assert_equal(a: list[Peer], b: list[Peer]) -> None:
    ours, others = weights(a), weights(b)
    assert all(torch.equal(ours[name], others[name]) for name in ours)


def by_hand(p: Tensor, q: Tensor) -> Tensor:
    return (p * torch.log(p / q) + (1 - p) * torch.log((1 - p) / (1 - q))).mean()


def test_the_divergence_is_that_of_the_paper() -> None:
    generator = torch.Generator().manual_seed(0)
    peer, own = torch.randn(2, 50, generator=generator, dtype=torch.float64)
    own.requires_grad_()
    peer.requires_grad_()
    found = divergence(peer, own)
    torch.testing.assert_close(found, by_hand(peer.sigmoid(), own.sigmoid()), rtol=0, atol=1e-14)
    found.backward()
    assert peer.grad is None
    # d KL(p || sigmoid(z)) / dz = sigmoid(z) - p
    expected = (own.sigmoid() - peer.sigmoid()).detach() / 50
    torch.testing.assert_close(own.grad, expected, rtol=0, atol=1e-16)
    assert torch.autograd.gradcheck(lambda z: divergence(peer, z), (own,))
    assert divergence(torch.tensor([90.0, -90.0]), torch.tensor([-90.0, 90.0])).isfinite()


def test_a_step_is_the_obvious_loop(dataset: EncodedDataset, peers: MakePeers) -> None:
    ours = peers("lr", "fm", "deepfm", double=True)
    others = [copy.deepcopy(peer.model) for peer in ours]
    rows, valid = windows(dataset)
    trainable = Mutual(ours, dataset, rows, TEACHING, np.random.default_rng(0), valid)
    slots = trainable._slots
    assert slots._whole is not None
    slots._whole = slots._whole.to("cpu", torch.float64)
    trainable._labels = trainable._labels.double()
    piece = trainable.begin(2)[0]
    for peer, other in zip(ours, others, strict=True):
        for model in (peer.model, other):
            model.eval()  # the loop below has no dropout
    total = trainable.gradients(piece, 2)

    batch = dataset.batch(rows[piece])
    y = torch.from_numpy(dataset.labels[rows[piece]]).double()
    p = [model(batch._replace(values=batch.values.double())).sigmoid() for model in others]
    expected = 0.0
    for k, model in enumerate(others):
        loss = -(y * p[k].log() + (1 - y) * (1 - p[k]).log()).mean()
        apart = [by_hand(p[j].detach(), p[k]) for j in range(3) if j != k]
        loss = loss + 0.7 * (apart[0] + apart[1]) / 2
        gradients = torch.autograd.grad(loss, list(model.parameters()))
        for parameter, gradient in zip(ours[k].model.parameters(), gradients, strict=True):
            torch.testing.assert_close(parameter.grad, gradient, rtol=1e-10, atol=1e-12)
        expected += loss.item()
    assert total == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("settings", [{"weight": 0.0}, {"warm_up": 6}])
@pytest.mark.parametrize("refit", [False, True])
@pytest.mark.usefixtures("global_state")
def test_without_teaching_models_are_trained_as_alone(
    dataset: EncodedDataset, peers: MakePeers, settings: dict[str, Any], refit: bool
) -> None:
    train, valid = windows(dataset)
    together = [*peers("lr", "fm"), *peers("deepfm", epochs=2)]
    made = learn(together, dataset, refit=refit, **settings)
    lengths = set()
    for peer in together:
        alone = make(dataset, peer.name)
        expected = pretrain(
            alone,
            dataset,
            train,
            peer.config,
            np.random.default_rng(3),
            valid=None if refit else valid,
            epochs=peer.epochs,
            description="alone",
            progress=Silent(),
        )
        for name, tensor in alone.state_dict().items():
            assert torch.equal(tensor, peer.model.state_dict()[name]), (peer.name, name)
        found = made[peer.name]
        assert found.epochs == expected.epochs
        assert [x["valid_loss"] for x in found.history] == [
            x["valid_loss"] for x in expected.history
        ]
        assert [x["train_loss"] for x in found.history] == pytest.approx(
            [x["train_loss"] for x in expected.history], rel=1e-6
        )
        assert not peer.model.training
        lengths.add(len(found.history))
    assert refit or len(lengths) > 1  # one stopped before the others


def test_teaching_brings_the_models_together(dataset: EncodedDataset, peers: MakePeers) -> None:
    for weight in (0.0, 5.0):
        made = learn(peers(), dataset, weight=weight, warm_up=0, refit=True)
        last = {name: each.history[-1]["peers_loss"] for name, each in made.items()}
        first = {name: each.history[0]["peers_loss"] for name, each in made.items()}
        if weight == 0:
            assert set(last.values()) == {0.0}
        else:
            assert all(first[name] > 0 for name in first)
            assert last["lr"] < 0.05


def test_what_stopped_goes_on_teaching_as_it_was_best(
    dataset: EncodedDataset, peers: MakePeers
) -> None:
    rows, valid = windows(dataset)
    trainable = Mutual(
        peers("lr", "deepfm"), dataset, rows, TEACHING, np.random.default_rng(0), valid
    )
    stopped, other = trainable.members
    stopped.kept[1], stopped.kept[2] = 1, 1
    before = copy.deepcopy(stopped.model.state_dict())
    for piece in trainable.begin(5):
        trainable.gradients(piece, 5)
        assert all(p.grad is None for p in stopped.model.parameters())
        trainable.update()
    assert all(torch.equal(t, before[n]) for n, t in stopped.model.state_dict().items())
    assert not stopped.model.training
    assert other.line(None)["peers_loss/deepfm"] > 0  # type: ignore[operator]


@pytest.mark.parametrize("step", [1, 40])
@pytest.mark.usefixtures("global_state")
def test_an_interrupted_training_ends_as_one_that_was_not(
    dataset: EncodedDataset,
    peers: MakePeers,
    tmp_path: Path,
    interrupt: Interrupt,
    step: int,
) -> None:
    whole = peers()
    expected = learn(whole, dataset)
    interrupt(Mutual, step)
    with pytest.raises(Interrupted):
        learn(peers(), dataset, tmp_path / "kept")
    again = peers()
    found = learn(again, dataset, tmp_path / "kept")
    assert_equal(again, whole)
    for name, each in expected.items():
        assert found[name].history == each.history
        assert found[name].epochs == each.epochs


def test_divergence_names_the_model_and_the_user(dataset: EncodedDataset, peers: MakePeers) -> None:
    spoiled = peers("lr", "fm")
    with torch.no_grad():
        spoiled[1].model.embedding.weight.fill_(torch.inf)
    with pytest.raises(Diverged, match=r"parameter 'embedding.weight' of base model 'fm'"):
        learn(spoiled, dataset)


def test_batches_must_be_alike(dataset: EncodedDataset, peers: MakePeers) -> None:
    unlike = [*peers("lr"), *peers("fm", batch_size=32)]
    with pytest.raises(ConfigError, match="the same batch_size, but it is 64 for lr, 32 for fm"):
        learn(unlike, dataset)


def test_models_of_several_tasks_are_refused(dataset: EncodedDataset, peers: MakePeers) -> None:
    made = peers("lr", "fm")
    made[0].model.losses = lambda *_: None  # type: ignore[assignment]
    with pytest.raises(ConfigError, match="base model 'lr' has several tasks"):
        learn(made, dataset)


def coins(rows: int, words: int, generator: np.random.Generator) -> EncodedDataset:
    """Two words a row, and a fair coin as the label: all that is learned is variance."""
    fields, first = [], 1
    for name in ("left", "right"):
        vocabulary = tuple(map(str, range(words)))
        field = Field(name=name, kind="categorical", slots=1, first_id=first, vocabulary=vocabulary)
        fields.append(field)
        first += field.num_ids
    start = np.array([field.first_id + 1 for field in fields])
    return EncodedDataset.of_rows(
        Schema(
            dataset="coins",
            label_threshold=1,
            history_length=0,
            windows=(60, 80, 90),
            fields=tuple(fields),
        ),
        cells=(start + generator.integers(words, size=(rows, 2))).astype(np.int32),
        labels=generator.integers(2, size=rows).astype(np.float32),
        user_offsets=np.array([0, rows]),
        user_names=("ann",),
    )


def test_peers_lower_variance(peers: MakePeers) -> None:
    """Models that start from other random numbers learn other noise, and only some of it from each
    other: the mean squared distance from the truth, 1/2, falls."""
    errors: dict[float, list[float]] = {0.0: [], 3.0: []}
    for world in range(3):
        dataset = coins(300, 15, np.random.default_rng(world))
        train, test = np.arange(150), np.arange(150, 300)
        for weight, found in errors.items():
            made = []
            for seed, peer in enumerate(peers("fm", "fm", learning_rate=0.02)):
                with torch.random.fork_rng(devices=[]):
                    torch.manual_seed(10 * world + seed)
                    model = FM(dataset.schema.num_ids, dataset.schema.slot_fields, 4)
                made.append(replace(peer, name=f"fm{seed}", model=model, epochs=25))
            learn_mutually(
                made,
                dataset,
                train,
                TEACHING.model_copy(update={"weight": weight}),
                np.random.default_rng(world),
                valid=None,
                description="coins",
                progress=Silent(),
            )
            p = [predict(peer.model, dataset, test).sigmoid() for peer in made]
            found += [((each - 0.5) ** 2).mean().item() for each in p]
    assert np.mean(errors[3.0]) < 0.92 * np.mean(errors[0.0])
