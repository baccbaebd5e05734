"""Gradient clipping that also handles sparse gradients."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def clip_gradients(parameters: Iterable[Tensor], most: float) -> float:
    """Scale all gradients in place so that their joint Euclidean norm is at most `most`.

    Like ``torch.nn.utils.clip_grad_norm_``, which rejects sparse gradients, but without its 1e-6 in
    the denominator. Source: Pascanu et al., "On the difficulty of training recurrent neural
    networks", ICML 2013, Algorithm 1.

    Returns:
        The norm before clipping.
    """
    values: list[Tensor] = []
    for parameter in parameters:
        if parameter.grad is not None:
            if parameter.grad.is_sparse:
                parameter.grad = parameter.grad.coalesce()  # sums repeated rows
            values.append(
                parameter.grad.values() if parameter.grad.is_sparse else parameter.grad.detach()
            )
    if not values:
        return 0.0
    norm = torch.stack([torch.linalg.vector_norm(v) for v in values]).norm().item()
    if norm > most:
        for value in values:
            value.mul_(most / norm)
    return norm
