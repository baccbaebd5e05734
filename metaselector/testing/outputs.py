"""Check what forward returns, and that it has no side effects."""

from __future__ import annotations

import copy

import torch
from torch import Tensor
from torch.func import functional_call

from metaselector.data.encoded.batch import Batch
from metaselector.testing.subject import ROWS, Subject

_SCALES = (0.0, 1.0, 10.0) * 3
"""Of noise on all parameters; at large scales any logit that can leave [0, 1] does."""
_SHAPES = ((ROWS,), (1,), (2, 3), (1, 1), (2, 1, 3))


def one_logit_a_row_and_task(subject: Subject) -> None:
    """Logits are finite, ``[..., B]`` or ``[..., B, T]`` for several tasks, for any batch size."""
    for shape in _SHAPES:
        batch = subject.batch(*shape)
        where = f"on ids {[*batch.ids.shape]}"
        logits = subject.run(subject.model, batch, where)
        expected = (*shape, len(subject.schema.tasks)) if subject.several else shape
        if not isinstance(logits, Tensor) or logits.shape != expected:
            found = [*logits.shape] if isinstance(logits, Tensor) else type(logits).__name__
            subject.fail(
                f"forward returns {found} {where}, expected logits {[*expected]}; common causes "
                "are squeeze() or flatten() without an axis, and axes counted from the left"
            )
        if logits.dtype != batch.values.dtype:
            subject.fail(f"logits are {logits.dtype}, but values are {batch.values.dtype}")
        if not logits.isfinite().all():
            subject.fail(f"logits are non-finite {where}")


def logits_are_no_probabilities(subject: Subject) -> None:
    """Some logit is below 0 or above 1, for parameters drawn at several scales."""
    if subject.bounded:
        return
    generator, batch = subject.generator(), subject.batch(8, 8)
    for scale in _SCALES:
        params = {
            name: p + scale * torch.randn(p.shape, generator=generator, dtype=p.dtype)
            for name, p in subject.params.items()
        }
        logits = functional_call(subject.model, params, (batch,)).detach()
        if ((logits < 0) | (logits > 1)).any() or not logits.any():  # 0: another check tells why
            return
    subject.fail(
        "all outputs lie between 0 and 1, whatever its parameters, so they look like "
        "probabilities; forward must return logits: remove the final sigmoid. If these are "
        "logits, pass bounded_logits=True"
    )


def single_rows_agree(subject: Subject) -> None:
    """A row's logit does not depend on other rows of the batch."""
    ids, values = subject.batch(ROWS)
    one_by_one = [
        subject.model(Batch(ids[i : i + 1], values[i : i + 1])).detach() for i in range(ROWS)
    ]
    subject.compare(
        subject.model(Batch(ids, values)).detach(),
        torch.cat(one_by_one),
        "a row's logit depends on other rows of the batch; remove batch statistics and reductions "
        "over rows",
    )


def leading_axes_agree(subject: Subject) -> None:
    """Slots ``[2, 3, C]`` are treated as a batch of batches."""
    ids, values = subject.batch(2, 3)
    expected = torch.stack([subject.model(Batch(ids[i], values[i])).detach() for i in range(2)])
    subject.compare(
        subject.model(Batch(ids, values)).detach(),
        expected,
        "logits of ids [2, 3, C] differ from those of two batches [3, C]; count axes from the "
        "right",
    )


def forward_repeats(subject: Subject) -> None:
    """Nothing is random in evaluation mode."""
    batch = subject.batch(ROWS)
    if not torch.equal(subject.model(batch), subject.model(batch)):
        subject.fail(
            "in evaluation mode a second forward returns different logits; make dropout and noise "
            "depend on self.training"
        )


def forward_changes_no_state(subject: Subject) -> None:
    """Forward changes no state, in training mode or in evaluation mode."""
    for mode in ("training", "evaluation"):
        model = copy.deepcopy(subject.model).train(mode == "training")
        before = {name: t.clone() for name, t in _tensors(model)}
        subject.run(model, subject.batch(ROWS), f"in {mode} mode")
        for name, tensor in _tensors(model):
            if name not in before or not torch.equal(tensor, before[name]):
                subject.fail(
                    f"forward changes '{name}' in {mode} mode; adapted copies of a model share its "
                    "state, so it must not have batch-norm running statistics (LayerNorm has "
                    "none), caches or counters"
                )


def parameters_are_those_given(subject: Subject) -> None:
    """``functional_call`` with other parameters equals a model with these parameters."""
    generator = subject.generator()
    other = {
        name: p + 0.1 * torch.randn(p.shape, generator=generator, dtype=p.dtype)
        for name, p in subject.params.items()
    }
    holder = copy.deepcopy(subject.model)
    with torch.no_grad():
        for name, p in holder.named_parameters():
            p.copy_(other[name])
    batch = subject.batch(ROWS)
    subject.compare(
        functional_call(subject.model, other, (batch,)).detach(),
        holder(batch).detach(),
        "torch.func.functional_call with other parameters differs from a model with these "
        "parameters; read parameters only in forward, as attributes of their module, and keep no "
        "copies",
    )


def _tensors(model: torch.nn.Module) -> list[tuple[str, Tensor]]:
    """Parameters and all buffers, including those that are not saved."""
    return [*model.named_parameters(), *model.named_buffers()]
