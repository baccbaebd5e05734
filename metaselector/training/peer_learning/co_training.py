"""Co-training: in rounds, models label unlabelled pairs for each other.

Source: Blum and Mitchell, "Combining Labeled and Unlabeled Data with Co-Training", COLT 1998,
Table 1: models with different views label the examples that they are most confident about, in the
class proportions of the labelled data. For models that differ only in how they learn: Goldman and
Zhou, "Enhancing Supervised Learning with Unlabeled Data", ICML 2000.

In round 0 every model learns its labelled rows. After each round, unlabelled
:mod:`~metaselector.training.peer_learning.pairs` are drawn and all models predict them. A model
receives the pairs for which the mean probability of the *other* models is confident, with that
probability as the label, and learns them with its rows in the next round:

    L_k = sum_i w_i crossentropy(y_i, p_ik) / n,   w_i = 1 for a row, `pair_weight` for a pair.

We deviate from the source as follows: labels are soft and never change; a model does not label for
itself; each round trains from the initial weights to the best epoch on *valid*, because these
models overfit within a few epochs; and rounds stop when the models' mean valid loss has not
improved for `patience` rounds. The best round is kept.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from metaselector.common.progress import Progress
from metaselector.config.training import PeerLearningConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import Ints
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.trainable import ValidationResult
from metaselector.training.peer_learning.confident import agreement, by_others, choose
from metaselector.training.peer_learning.pairs import Pairs, as_rows, check_items, draw, in_data
from metaselector.training.peer_learning.share import Share
from metaselector.training.peer_learning.together import (
    NEVER,
    Peer,
    Together,
    copy_into,
    part_of,
)
from metaselector.training.predict import labels_for, predict
from metaselector.training.pretrain import Pretrained


class CoTraining(Together):
    """Trains and labels in rounds.

    Args:
        rows: labelled rows of each peer.
        schedules: for a refit, each peer's epochs in every round.
    """

    def __init__(
        self,
        peers: Sequence[Peer],
        dataset: EncodedDataset,
        rows: Sequence[Ints],
        peer_learning: PeerLearningConfig,
        generator: np.random.Generator,
        valid: Ints | None,
        schedules: Mapping[str, Sequence[int]] | None,
    ) -> None:
        check_items(dataset)
        super().__init__(peers, dataset, valid, generator)
        self._peer_learning, self._schedules = peer_learning, schedules
        self._shares = [
            Share(member, own, peer_learning.most)
            for member, own in zip(self.members, rows, strict=True)
        ]
        self._all_rows = np.unique(np.concatenate(rows))
        self._known = in_data(dataset)
        # Current round, its first epoch, best round; then agreement, best mean valid loss.
        self._at = torch.tensor([0, 1, 0], dtype=torch.int64)
        self._found = torch.tensor([0, NEVER], dtype=torch.float64)
        for share in self._shares:
            self.parameters |= share.tensors()
        self.parameters |= {"/at": self._at, "/found": self._found}
        self._material: list[tuple[Batch, Tensor, Tensor]] = []

    def begin(self, epoch: int) -> Sequence[tuple[Tensor | None, ...]]:
        self._material = [self._learned_from(share) for share in self._shares]
        steps: list[Sequence[Tensor]] = []
        for share, (_, labels, _) in zip(self._shares, self._material, strict=True):
            member = share.member
            member.model.train(not member.done)
            if member.done:
                steps.append([])
                continue
            order = torch.from_numpy(self.generator.permutation(len(labels)))
            steps.append(order.split(member.config.rows_per_step))
        return list(zip_longest(*steps))

    def _learned_from(self, share: Share) -> tuple[Batch, Tensor, Tensor]:
        """Slots, labels and weights ``[n + m]`` of a model's n rows and m pairs."""
        batch = self._dataset.batch(share.rows)
        labels = labels_for(share.member.model, self._dataset, share.rows)
        weights = torch.ones(len(labels))
        if len(share.pairs.context):
            as_dataset, place = as_rows(self._dataset, share.pairs)
            pairs = as_dataset.batch(place)
            batch = Batch(*(torch.cat(both) for both in zip(batch, pairs, strict=True)))
            labels = torch.cat([labels, share.labels[: len(place)]])
            weights = torch.cat(
                [weights, torch.full([len(place)], self._peer_learning.pair_weight)]
            )
        return batch.to(self._device), labels.to(self._device), weights.to(self._device)

    def gradients(self, step: tuple[Tensor | None, ...], epoch: int) -> float:
        total = 0.0
        parts = zip(self._shares, step, self._material, strict=True)
        for share, chosen, (batch, labels, weights) in parts:
            member = share.member
            if chosen is None:
                member.optimizer.zero_grad(set_to_none=True)  # finished its epoch: no step
                continue
            at = chosen.to(self._device)
            with member.forward() as model:
                logits = model(part_of(batch, at))
            losses = F.binary_cross_entropy_with_logits(logits, labels[at], reduction="none")
            losses = losses * weights[at]
            loss = losses.mean()
            of_labels = losses.detach()[at < len(share.rows)].sum().item() / len(at)
            member.learn(loss, of_labels, loss.item() - of_labels)
            total += loss.item()
        return total

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        round_, first, _ = self._at.tolist()
        more: dict[str, Any] = {"round": round_, "agreement": self._found[0].item() or None}
        for share in self._shares:
            member = share.member
            if member.done:
                continue
            valid_loss = self.valid_loss_of(member)
            more |= member.line(valid_loss) | {f"pairs/{member.name}": int(share.count)}
            epochs = self._schedules[member.name][round_] if self._schedules else member.epochs
            member.validate(epoch, first, valid_loss, epochs)
        if self.learners():
            return ValidationResult(None, more)
        return ValidationResult(None, more, finished=self._end_round(epoch))

    def _end_round(self, epoch: int) -> bool:
        """Keep the round if it is the best, and start the next; returns whether it was the last."""
        round_ = int(self._at[0])
        mean = float(np.mean([member.kept[0].item() for member in self.members]))
        if self._schedules is not None or mean < self._found[1]:
            self._at[2], self._found[1] = round_, mean
            for share in self._shares:
                copy_into(share.chosen, share.member.best)
                share.chosen_epoch.fill_(share.member.best_epoch)
        if self._schedules is not None:
            last = round_ + 1 == len(next(iter(self._schedules.values())))
        else:
            exhausted = round_ - int(self._at[2]) >= self._peer_learning.patience
            last = exhausted or round_ == self._peer_learning.rounds
        if last or not (self._label() or self._schedules):
            return True
        for share in self._shares:
            share.begin_again()
        self._at[0], self._at[1] = round_ + 1, epoch + 1
        return False

    def _label(self) -> int:
        """Label pairs for every model; returns how many were added."""
        peer_learning, dataset = self._peer_learning, self._dataset
        labelled = [share.pairs.keys(dataset) for share in self._shares]
        size = max(int(peer_learning.candidates * len(self._all_rows)), 1)
        taken = np.concatenate([self._known, *labelled])
        pairs = draw(dataset, self._all_rows, size, taken, self.generator)
        assert not np.isin(pairs.keys(dataset), self._known).any(), "a pair is a row of the data"
        if not len(pairs.items):
            return 0
        as_dataset, place = as_rows(dataset, pairs)
        logits = [predict(member.model, as_dataset, place) for member in self.members]
        probabilities = torch.sigmoid(torch.stack(logits, 1))  # [n, K]
        self._found[0] = agreement(probabilities)
        added = 0
        for k, share in enumerate(self._shares):
            labels = by_others(probabilities, k)
            room = min(
                int(peer_learning.growth * len(share.rows)), len(share.labels) - int(share.count)
            )
            positives = float(dataset.labels[share.rows].mean())
            chosen = choose(labels, peer_learning.confidence, room, positives)
            at = chosen.numpy()
            share.add(Pairs(pairs.context[at], pairs.items[at]), labels[chosen])
            added += len(at)
        return added

    def keep_chosen(self) -> None:
        """Restore the models and their best epochs from the best round."""
        for share in self._shares:
            share.member.model.load_state_dict(share.chosen)
            share.member.kept[1] = share.chosen_epoch[0]

    def rows_of(self, step: tuple[Tensor | None, ...]) -> Ints:
        parts: list[Ints] = []
        for share, chosen in zip(self._shares, step, strict=True):
            if chosen is not None:
                parts.append(np.concatenate([share.rows, share.pairs.context])[chosen.numpy()])
        return np.concatenate(parts)


def schedule(pretrained: Pretrained) -> list[int]:
    """Epochs in every round up to the best round, for a refit to repeat."""
    history = pretrained.history
    kept = next(line["round"] for line in history if line["epoch"] == pretrained.epochs)
    epochs = []
    for round_ in range(kept + 1):
        losses = [line["valid_loss"] for line in history if line["round"] == round_]
        epochs.append(int(np.nanargmin(losses)) + 1)
    return epochs


def co_train(
    peers: Sequence[Peer],
    dataset: EncodedDataset,
    rows: Sequence[Ints],
    peer_learning: PeerLearningConfig,
    generator: np.random.Generator,
    *,
    valid: Ints | None,
    schedules: Mapping[str, Sequence[int]] | None = None,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None = None,
) -> dict[str, Pretrained]:
    """Fit all models in rounds, in place.

    Other arguments and errors are those of :func:`metaselector.training.pretrain.pretrain`.

    Args:
        rows: labelled rows of each peer.
        valid: rows for early stopping, of each model within a round and of the rounds.
        schedules: if `valid` is None, each model's epochs in every round, from :func:`schedule`.

    Returns:
        Results by model. Epochs are numbered across rounds, the same for all models. Records of the
        history also have the ``round``, the number of ``pairs`` the model learned from in it, and
        ``agreement``: the share of pairs, drawn before the round, that two models put on the same
        side of 0.5, averaged over all pairs of models. Every model is given an equal share of the
        seconds.

    Raises:
        ConfigError: a model has several tasks, or the data has no items.
    """
    trainable = CoTraining(peers, dataset, rows, peer_learning, generator, valid, schedules)
    rounds = peer_learning.rounds + 1
    if schedules is not None:
        rounds = len(next(iter(schedules.values())))
    last = rounds * max(
        max(schedules[p.name]) if schedules is not None else p.epochs for p in peers
    )
    longest = max(
        -(-len(own) // peer.config.rows_per_step) for peer, own in zip(peers, rows, strict=True)
    )
    return trainable.train(last, last * longest, description, progress, snapshots)
