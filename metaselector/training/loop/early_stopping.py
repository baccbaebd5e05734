"""Stop when the validation loss has not improved for a while."""

from __future__ import annotations

import math


class EarlyStopping:
    """Keeps the best loss and when it was seen.

    Args:
        patience: epochs without improvement before training is exhausted.
    """

    def __init__(self, patience: int) -> None:
        self.patience = patience
        self.best_loss = math.inf
        self.best_epoch = 0

    def improved(self, epoch: int, loss: float) -> bool:
        """Record the loss of an epoch; true where it is the best so far."""
        if loss < self.best_loss:
            self.best_loss, self.best_epoch = loss, epoch
            return True
        return False

    def exhausted(self, epoch: int) -> bool:
        return epoch - self.best_epoch >= self.patience
