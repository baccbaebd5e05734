"""Correct predictions by the residuals of similar support rows.

The mixture's predictions of a user's support, before anything adapts, leave residuals. A query row
is corrected by those of the support rows that resemble it: recent ones, and ones with similar
items. The correction is a step of Newton's method for an intercept of the query row's own, with
weights and a prior. It has a closed form, and no gradient flows through the inner loop.

Attention over residuals is this project's own; it is not in the paper.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.rules import Tensors
from metaselector.models.mixture import MixtureOutput

RESIDUALS = "residuals/"
"""Prefix of the names of the learned numbers."""
STRENGTH, PRIOR = f"{RESIDUALS}strength", f"{RESIDUALS}prior"
HALF_LIFE, TIME_DECAY = f"{RESIDUALS}half_life", f"{RESIDUALS}time_decay"
SIMILARITY = f"{RESIDUALS}similarity"


@dataclass(frozen=True)
class ResidualAttention:
    """The settings of the correction; its learned numbers start there.

    The logit of query row q grows by

    ``c * sum_i a_qi (y_i - p_i) / (prior + sum_i a_qi p_i (1 - p_i))``

    with y_i the label and p_i the unadapted prediction of support row i, and weights

    ``a_qi = 2^(-(n - i) / half_life) * (1 + h_qi)^(-time_decay) * exp(sum_m gamma_m s_qim)``

    with h_qi the hours from i to q and s_qim the similarity of the rows by measure m.

    Attributes:
        similarities: names of the M measures.
        strength: c, 0 or more; at 0 nothing is corrected.
        prior: variance of a prior in place of rows, positive.
        half_life: how many later support rows halve the weight of one, positive.
        time_decay: 0 or more.
        gamma: how much similarity counts, the same for all measures at the start.

    Example:
        >>> attention = ResidualAttention(("features",), strength=1.0, prior=1.0)
        >>> numbers = {name: torch.tensor(value) for name, value in attention.start().items()}
        >>> attention.logits(
        ...     numbers,
        ...     residuals=torch.tensor([[0.5]]),
        ...     variances=torch.tensor([[0.25]]),
        ...     mask=torch.ones(1, 1),
        ...     hours=torch.zeros(1, 1, 1),
        ...     similarity=torch.zeros(1, 1, 1, 1),
        ... )
        tensor([[0.4000]])
    """

    similarities: tuple[str, ...] = ()
    strength: float = 0.65
    prior: float = 20.0
    half_life: float = 100.0
    time_decay: float = 0.05
    gamma: float = 2.0

    def start(self) -> dict[str, list[float]]:
        """Where the learned numbers start, by name."""
        found = {
            STRENGTH: [self.strength],
            PRIOR: [self.prior],
            HALF_LIFE: [self.half_life],
            TIME_DECAY: [self.time_decay],
        }
        if self.similarities:
            found[SIMILARITY] = [self.gamma] * len(self.similarities)
        return found

    def logits(
        self,
        numbers: Tensors,
        *,
        residuals: Tensor,
        variances: Tensor,
        mask: Tensor,
        hours: Tensor,
        similarity: Tensor | None,
    ) -> Tensor:
        """What the logits of query rows grow by.

        Args:
            numbers: by the names of :meth:`start`.
            residuals, variances: ``y - p`` and ``p (1 - p)`` of the support rows, ``[U, S]``, or
                ``[U, S, T]`` with several tasks, both 0 where a task is not observed.
            mask: ``[U, S]``.
            hours: from support row to query row, ``[U, Q, S]``.
            similarity: ``[U, Q, S, M]``; None if M is 0.

        Returns:
            ``[U, Q]`` or ``[U, Q, T]``; 0 for users without support.
        """
        later = mask.flip(-1).cumsum(-1).flip(-1) - mask  # [U, S]
        log_weights = -(math.log(2) / numbers[HALF_LIFE]) * later.unsqueeze(1)
        log_weights = log_weights - numbers[TIME_DECAY] * torch.log1p(hours)
        if similarity is not None:
            log_weights = log_weights + similarity @ numbers[SIMILARITY]
        weights = log_weights.exp() * mask.unsqueeze(1)  # [U, Q, S]
        several = residuals.ndim > mask.ndim
        of_rows = (
            (residuals, variances) if several else (residuals[..., None], variances[..., None])
        )
        pulled, known = (weights @ values for values in of_rows)  # [U, Q, T]
        found: Tensor = numbers[STRENGTH] * pulled / (numbers[PRIOR] + known)
        return found if several else found.squeeze(-1)

    def correct(
        self, output: MixtureOutput, unadapted: MixtureOutput, episodes: Episodes, numbers: Tensors
    ) -> MixtureOutput:
        """The output on the query with corrected predictions; weights stay as they are.

        Predictions of users without support are not touched, not even by rounding.

        Args:
            output: of the query rows, adapted.
            unadapted: of the support rows, at the initial parameters.
        """
        support = episodes.support
        p = unadapted.log_positive.detach().exp()
        observed = ~support.labels.isnan()
        grow = self.logits(
            numbers,
            residuals=(support.labels.nan_to_num() - p) * observed,
            variances=p * (1 - p) * observed,
            mask=support.mask,
            hours=hours_between(episodes),
            similarity=episodes.similarity if self.similarities else None,
        )
        logits = output.log_positive - output.log_negative + grow
        some = support.mask.any(-1).reshape(-1, *[1] * (logits.ndim - 1))  # [U, 1] or [U, 1, 1]
        return output._replace(
            log_positive=torch.where(some, F.logsigmoid(logits), output.log_positive),
            log_negative=torch.where(some, F.logsigmoid(-logits), output.log_negative),
        )


def hours_between(episodes: Episodes) -> Tensor:
    """Hours from each support row to each query row, ``[U, Q, S]``; 0 where times are unknown."""
    support, query = episodes.support, episodes.query
    if support.hours is None or query.hours is None:
        return support.mask.new_zeros(*query.mask.shape, support.mask.shape[1])
    between: Tensor = query.hours.unsqueeze(2) - support.hours.unsqueeze(1)
    return between.clamp_min(0)
