"""Entire Space Multi-task Model."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from base_models.blocks import EmbeddedTasks, Towers
from base_models.contract import Batch, Task, TaskLosses, observed_mean
from base_models.funnel import labels_of_all_rows, log_probabilities, refuse_numbers


class ESMM(EmbeddedTasks):
    """Click and conversion learned from all impressions (Ma et al., "ESMM", SIGIR 2018).

    Each task has a tower on shared field embeddings. For clicks and conversions after them,
    ``pCTR = sigmoid(a)``, ``pCVR = sigmoid(b)`` and ``pCTCVR = pCTR * pCVR``; the logits are
    (a, b). The first loss is the logloss of the click under pCTR, the second that of *click and
    conversion* under pCTCVR, both over all rows. pCVR has no loss of its own. Longer chains
    multiply further (Wen et al., "ESM2", SIGIR 2020). A task that is after no other is an ordinary
    one.

    Args:
        embedding_size: D.
        hidden_sizes: hidden layer widths of the towers.
        dropout: after each hidden layer, 0 to 1.

    Raises:
        ValueError: no task is after another, or a task is numeric.

    Example:
        >>> import torch
        >>> from base_models import ESMM, Task
        >>> model = ESMM(4, [0, 1], tasks=[Task(), Task(after=0)])  # click, then conversion
        >>> rows = torch.tensor([[1, 3], [2, 3]]), torch.ones(2, 2)
        >>> model.losses(rows, labels=torch.tensor([[1.0, 1.0], [0.0, torch.nan]])).tasks.shape
        torch.Size([2])
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
                "ESMM needs a task that is after another, such as a conversion after a click; "
                "the data has none"
            )
        self.towers = Towers(self.tasks, self.inputs, hidden_sizes, dropout)

    def forward(self, batch: Batch) -> Tensor:
        """Logits ``[..., B, T]``."""
        return self.towers([self.embed(batch)] * len(self.tasks))

    def losses(self, batch: Batch, labels: Tensor) -> TaskLosses:
        """Mean loss of each task over all rows; labels as in the base class.

        A row in which an earlier task is 0 counts as 0. A row in which the label or that of an
        earlier task is unknown does not count.
        """
        positive, negative = log_probabilities(self(batch), self.tasks)
        joint = labels_of_all_rows(labels, self.tasks)
        known = joint.nan_to_num()  # 0 * nan would make the gradient nan
        losses = -(known * positive + (1 - known) * negative)
        return TaskLosses(observed_mean(losses, joint), losses.new_zeros(()))

    def counted(self, labels: Tensor) -> Tensor:
        """Rows whose label is known, or is 0 because an earlier task is: bool ``[B, T]``."""
        return ~labels_of_all_rows(labels, self.tasks).isnan()
