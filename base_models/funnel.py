"""Funnels over all rows: a task counts as 0 where the task that it is after did not happen."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from base_models.contract import Task

SMALLEST_GAP = 1e-6
"""Least gap between the logits of a task and the one it is after, in :func:`conditional_logits`."""


def refuse_numbers(model: str, tasks: Sequence[Task]) -> None:
    """Raise ValueError if a task is numeric, since it has no probability."""
    for t, task in enumerate(tasks):
        if task.numeric:
            raise ValueError(f"{model} predicts labels of 0 and 1 only, but task {t} is numeric")


def labels_of_all_rows(labels: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Labels ``[..., T]`` of a task and all tasks it is after being 1: 0, 1, or nan if unknown.

    Args:
        labels: ``[..., T]``, nan where a task is not observed; ignored where the task before is 0.
    """
    joint: list[Tensor] = []
    for label, task in zip(labels.unbind(-1), tasks, strict=True):
        if task.after is not None:
            before = joint[task.after]
            label = torch.where(before == 1, label, before)  # nan stays nan
        joint.append(label)
    return torch.stack(joint, dim=-1)


def log_probabilities(logits: Tensor, tasks: Sequence[Task]) -> tuple[Tensor, Tensor]:
    """Log-probabilities that a task and all tasks it is after are 1, and that they are not.

    For two tasks, ``log pq = log p + log q`` and ``1 - pq = (1 - p) + p (1 - q)``, a sum of two
    positive terms. Derivatives therefore stay correct however certain the model is, unlike those of
    ``log(1 - exp(log pq))``, which vanish where pq rounds to 1.

    Args:
        logits: ``[..., T]``, each conditional on the task before being 1.

    Returns:
        Two tensors ``[..., T]``: log p and log (1 - p).
    """
    positive: list[Tensor] = []
    negative: list[Tensor] = []
    for logit, task in zip(logits.unbind(-1), tasks, strict=True):
        yes, no = F.logsigmoid(logit), F.logsigmoid(-logit)
        if task.after is not None:
            before = positive[task.after]
            no = _log_of_sum(negative[task.after], before + no)
            yes = before + yes
        positive.append(yes)
        negative.append(no)
    return torch.stack(positive, dim=-1), torch.stack(negative, dim=-1)


def conditional_logits(logits: Tensor, tasks: Sequence[Task]) -> Tensor:
    """Logits of each task conditional on the one before being 1, from logits over all rows.

    With logits a of a task and b of the one before, ``sigmoid(a) / sigmoid(b)`` is a probability if
    a < b. Its log-odds ``log sigmoid(a) - log(sigmoid(b) - sigmoid(a))`` equal ``a -
    log sigmoid(b) - log(1 - exp(a - b))``, where ``a - b`` is clamped just below 0.

    Args:
        logits: ``[..., T]``, of a task and all tasks it is after being 1.
    """
    given: list[Tensor] = []
    for t, task in enumerate(tasks):
        logit = logits[..., t]
        if task.after is not None:
            before = logits[..., task.after]
            gap = (logit - before).clamp_max(-SMALLEST_GAP)
            logit = logit - F.logsigmoid(before) - torch.log(-torch.expm1(gap))
        given.append(logit)
    return torch.stack(given, dim=-1)


def _log_of_sum(a: Tensor, b: Tensor) -> Tensor:
    """``log(exp(a) + exp(b))``; the second derivatives of ``torch.logaddexp`` overflow."""
    return a - F.logsigmoid(a - b)
