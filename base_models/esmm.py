"""Entire space multi-task model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Towers
from base_models.contract import Batch, Task, TaskLosses, observed_mean
from base_models.funnel import labels_of_all_rows, log_probabilities, refuse_numbers


class ESMM(EmbeddedTasks):
    """ESMM (Ma et al., SIGIR 2018): a conversion rate that is learned from all impressions.

    A tower for each task on the field embeddings that they share. With clicks and conversions after
    them, ``pCTR = sigmoid(a)``, ``pCVR = sigmoid(b)`` and ``pCTCVR = pCTR * pCVR``; the logits are
    (a, b). The loss of the first task is the logloss of the click under pCTR, that of the second
    one the logloss of *click and conversion* under pCTCVR, both over all rows; none is on pCVR
    itself. A chain of more tasks multiplies on (Wen et al., "ESM2", SIGIR 2020); a task that is
    after no other is an ordinary one.

    Args:
        embedding_size: D.
        hidden_sizes: widths of the towers' hidden layers.
        dropout: after every hidden layer, 0 to 1.

    Raises:
        ValueError: no task is after another, or one is numeric.
    """

    def __init__(
        self,
        num_ids: int,
        slot_fields: Sequence[int],
        tasks: Sequence[Task],
        embedding_size: int = 16,
        hidden_sizes: Sequence[int] = (64, 64),
        dropout: float = 0.0,
    ) -> None:
        super().__init__(num_ids, slot_fields, tasks, embedding_size)
        refuse_numbers("ESMM", self.tasks)
        if all(task.after is None for task in self.tasks):
            raise ValueError(
                "ESMM needs a task that is after another, as a conversion is after a click; "
                "no task of these data is"
            )
        self.towers = Towers(self.tasks, self.inputs, hidden_sizes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        return self.towers([self.embed(batch)] * len(self.tasks))

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Mean loss of each task over all rows; labels as of the base class.

        A row where a task before is 0 counts as 0; one where that, or the label itself, is unknown
        does not count.
        """
        positive, negative = log_probabilities(self(batch), self.tasks)
        joint = labels_of_all_rows(labels, self.tasks)
        known = joint.nan_to_num()  # as 0 * nan would be nan in the gradient
        losses = -(known * positive + (1 - known) * negative)
        return TaskLosses(observed_mean(losses, joint), losses.new_zeros(()))
