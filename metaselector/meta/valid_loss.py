"""What the outer loop's candidates are judged by."""

from __future__ import annotations

import numpy as np
import torch

from metaselector.data.splitting.protocol import EvaluationProtocol
from metaselector.meta.adapt.contract import Adaptation
from metaselector.meta.learned import MetaLearned, parameters_of
from metaselector.meta.predict import predict_episodes
from metaselector.models.mixture import Mixture


def valid_loss(
    candidate: MetaLearned, mixture: Mixture, adaptation: Adaptation, protocol: EvaluationProtocol
) -> float:
    """Mean logloss of the queries of *valid*, averaged over the protocol's tables.

    Args:
        candidate: what to attach.
        mixture: on base models trained on *train*; restored.
    """
    before = parameters_of(mixture)
    candidate.attach(mixture)
    adapt = protocol.config.adapt
    losses = [
        predict_episodes(
            mixture, candidate.alpha, adaptation, protocol.dataset, exam.valid, adapt
        ).loss()
        for exam in protocol.exams
    ]
    with torch.no_grad():
        for name, parameter in mixture.named_parameters():
            parameter.copy_(before[name])
    return float(np.mean(losses))
