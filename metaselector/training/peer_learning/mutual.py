"""Deep mutual learning: models that also learn each other's predictions of every batch.

Source: Zhang et al., "Deep Mutual Learning", CVPR 2018, equations 4 to 8. Model k minimises

    L_k = mean_i [ logloss(y_i, p_ik) + w / (K - 1) sum_{j != k} KL(p_ij || p_ik) ]

with ``KL(p || q) = p log(p / q) + (1 - p) log((1 - p) / (1 - q))``, from the peer's distribution to
the model's own. The peer's prediction is detached, so no gradient reaches the peer.

We deviate from the source as follows: all models predict before any of them takes the step, so
their order does not matter; warm-up epochs leave out the second term; and every model stops early
on its own. A model that has stopped keeps teaching, frozen at its best epoch and without dropout,
because what it learned later made it worse on *valid*.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from metaselector.common.errors import ConfigError
from metaselector.common.progress import Progress
from metaselector.config.training import PeerLearningConfig
from metaselector.data.encoded.chosen_rows import ChosenRows
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.trainable import ValidationResult
from metaselector.training.peer_learning.together import Peer, Together
from metaselector.training.predict import labels_for
from metaselector.training.pretrain import Pretrained


def divergence(peer: Tensor, own: Tensor) -> Tensor:
    """``mean_i KL(peer || own)`` from logits ``[B]``, in nats, without a gradient for `peer`."""
    peer = peer.detach()
    p = torch.sigmoid(peer)
    positive = p * (F.logsigmoid(peer) - F.logsigmoid(own))
    negative = (1 - p) * (F.logsigmoid(-peer) - F.logsigmoid(-own))
    return (positive + negative).mean()


class Mutual(Together):
    """Trains models on the same batches and on each other's predictions."""

    def __init__(
        self,
        peers: Sequence[Peer],
        dataset: EncodedDataset,
        rows: NDArray[np.int64],
        peer_learning: PeerLearningConfig,
        generator: np.random.Generator,
        valid: NDArray[np.int64] | None,
    ) -> None:
        super().__init__(peers, dataset, valid, generator)
        sizes = {member.name: member.config.rows_per_step for member in self.members}
        if len(set(sizes.values())) > 1:
            raise ConfigError(
                "peer_learning.strategy=mutual: all base models need the same batch_size, but it "
                f"is {', '.join(f'{n} for {name}' for name, n in sizes.items())}; set one value"
            )
        self._rows, self._peer_learning = rows, peer_learning
        self._batch_size = self.members[0].config.rows_per_step
        self._slots = ChosenRows(dataset, rows, self._device)
        self._labels = labels_for(peers[0].model, dataset, rows).to(self._device)

    def begin(self, epoch: int) -> Sequence[Tensor]:
        for member in self.members:
            member.model.train(not member.done)
            member.freezing.begin(epoch)
        order = torch.from_numpy(self.generator.permutation(len(self._rows)))
        return order.split(self._batch_size)

    def gradients(self, batch: Tensor, epoch: int) -> float:
        part, labels = self._slots.batch(batch), self._labels[batch.to(self._device)]
        logits: list[Tensor] = []
        for member in self.members:
            with member.forward() as model:
                logits.append(model(part))
        teach = self._peer_learning.weight > 0 and epoch > self._peer_learning.warm_up
        total = 0.0
        for k, member in enumerate(self.members):
            if member.done:
                continue
            loss = F.binary_cross_entropy_with_logits(logits[k], labels)
            of_labels, of_peers = loss.item(), 0.0
            if teach:
                peers = [divergence(z, logits[k]) for j, z in enumerate(logits) if j != k]
                distance = torch.stack(peers).mean()
                loss, of_peers = loss + self._peer_learning.weight * distance, distance.item()
            member.learn(loss, of_labels, of_peers)
            total += loss.item()
        return total

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        more: dict[str, float | None] = {}
        for member in self.learners():
            valid_loss = self.valid_loss_of(member)
            more |= member.line(valid_loss)
            member.validate(epoch, 1, valid_loss, member.epochs)
        return ValidationResult(None, more, finished=not self.learners())

    def rows_of(self, batch: Tensor) -> NDArray[np.int64]:
        return self._rows[batch.numpy()]


def learn_mutually(
    peers: Sequence[Peer],
    dataset: EncodedDataset,
    rows: NDArray[np.int64],
    peer_learning: PeerLearningConfig,
    generator: np.random.Generator,
    *,
    valid: NDArray[np.int64] | None,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None = None,
) -> dict[str, Pretrained]:
    """Fit all models to the labels of `rows` and to each other, in place.

    With ``weight`` 0, or warm-up in all epochs, each model ends exactly as
    :func:`metaselector.training.pretrain.pretrain` leaves it on a CPU. Other arguments and errors
    are those of that function.

    Args:
        valid: rows for early stopping of each model; None trains each for exactly its epochs.

    Returns:
        Results by model; every model is given an equal share of the seconds.

    Raises:
        ConfigError: a model has several tasks, or batch sizes differ.
    """
    trainable = Mutual(peers, dataset, rows, peer_learning, generator, valid)
    last = max(peer.epochs for peer in peers)
    steps = last * -(-len(rows) // peers[0].config.rows_per_step)
    return trainable.train(last, steps, description, progress, snapshots)
