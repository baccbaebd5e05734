"""Fine-tuning for each user without meta-learning, the baseline for what MetaSelector adds.

The base models' plain average takes steps of gradient descent on the user's support, with one
learning rate for all parameters: the candidate that is best on *valid*.
"""

from __future__ import annotations

import time

import torch

from metaselector.common.progress import Progress
from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.meta.adapted import valid_loss
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import make_adaptation
from metaselector.models.mixture import Mixture


def choose_rate(
    protocol: EvaluationProtocol, mixture: Mixture, *, description: str, progress: Progress
) -> MetaParameters:
    """Choose the rate with the lowest loss on *valid*; the first one in a tie.

    Args:
        mixture: base models trained on *train* under an untrained selector, which weights
            them equally.

    Returns:
        ``alpha`` holds the rate for every parameter of the base models. ``history`` holds the
        losses, where ``epoch`` is the position of the rate in ``config.adapt.finetune_rates``.
    """
    started, config = time.perf_counter(), protocol.config
    adaptation = make_adaptation("user-finetuned", mixture, config.adapt)
    candidates: list[MetaParameters] = []
    losses: list[float] = []
    with progress.task(description, len(config.adapt.finetune_rates)) as advance:
        for rate in config.adapt.finetune_rates:
            alpha = {name: torch.tensor([rate]) for name in adaptation.names}
            alpha = {name: a.to(config.device) for name, a in alpha.items()}
            candidates.append(MetaParameters(phi={}, theta_delta={}, alpha=alpha))
            losses.append(valid_loss(candidates[-1], mixture, adaptation, protocol))
            advance()
    best = min(range(len(losses)), key=losses.__getitem__)
    chosen = candidates[best]
    chosen.history = [
        {"epoch": i, "train_loss": None, "valid_loss": loss} for i, loss in enumerate(losses)
    ]
    chosen.best_epoch = best
    chosen.seconds = time.perf_counter() - started
    return chosen
