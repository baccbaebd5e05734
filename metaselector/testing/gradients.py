"""Check first and second derivatives."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.func import functional_call

from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.testing.subject import Subject

_SCALES = (0.0, 0.03, 0.3, 1.0) * 2
"""Scales of parameter noise; with some, all units of a small network are off or saturated."""


def every_parameter_matters(subject: Subject) -> None:
    """Every parameter gets a gradient that is not 0 for some draw of the parameters."""
    generator = subject.generator()
    unmoved = set(subject.params)
    for scale in _SCALES:
        params = {
            name: _near(p, scale, generator).requires_grad_() for name, p in subject.params.items()
        }
        logits = functional_call(subject.model, params, (subject.batch(8, 8),))
        if not logits.requires_grad:
            subject.fail("no gradient reaches its parameters; forward must not detach or no_grad")
        gradients = torch.autograd.grad(
            logits.square().sum(), list(params.values()), materialize_grads=True
        )
        unmoved -= {name for name, g in zip(params, gradients, strict=True) if g.any()}
        if not unmoved:
            return
    subject.fail(
        f"parameter '{min(unmoved)}' gets no gradient; use it in forward, remove it, or make it a "
        "buffer"
    )


def _near(p: Tensor, scale: float, generator: torch.Generator) -> Tensor:
    return p + scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)


def first_and_second_derivatives(subject: Subject) -> None:
    """Derivatives exist and match finite differences (fast mode, along one direction)."""
    batch = subject.batch(3)
    params = {name: p.requires_grad_() for name, p in subject.params.items()}

    def logits(*leaves: Tensor) -> Tensor:
        with Intercept(Lookups().handlers):  # as all engines do
            named = dict(zip(params, leaves, strict=True))
            return functional_call(subject.model, named, (batch,))

    for order, check in (
        ("first", torch.autograd.gradcheck),
        ("second", torch.autograd.gradgradcheck),
    ):
        try:
            check(logits, tuple(params.values()), fast_mode=True)
        except RuntimeError as error:
            reason = " ".join(str(error).split())[:200]
            subject.fail(
                f"its {order} derivative is wrong or missing ({reason}); custom autograd functions "
                "need a backward that is differentiable itself",
                error,
            )
