"""Models of DeepCTR-Torch on the rows of :mod:`benchmarks.peers`."""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from typing import Any

import torch
from torch import Tensor

from benchmarks.contenders import Contender, New, Settings, adam, bare_loops
from benchmarks.peers import Column
from metaselector.training.predict import PREDICTION_ROWS


def features(fields: Mapping[str, Column], embedding_size: int) -> list[Any]:
    """The fields as DeepCTR-Torch's models take them."""
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat

    def feature(name: str, size: int, slots: int) -> Any:
        one = SparseFeat(name, size, embedding_size)
        return one if slots == 1 else VarLenSparseFeat(one, slots, "mean")

    return [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]


def inputs(fields: Mapping[str, Column]) -> Tensor:
    """The slots as DeepCTR-Torch's models take them, float ``[n, C]``."""
    return torch.cat([column.ids for column in fields.values()], dim=1).float()


def contenders(
    new: New,
    fields: Mapping[str, Column],
    labels: Tensor,
    settings: Settings,
    outputs: Callable[[Tensor], Tensor] = torch.flatten,
) -> dict[str, Contender]:
    """A model of DeepCTR-Torch in its library's loop and in :func:`bare_loops`.

    Args:
        labels: float, ``[n]`` for one task, ``[n, T]`` for several.
        outputs: see :func:`bare_loops`.
    """
    slots = inputs(fields)
    x, y = slots.numpy(), labels.numpy()
    loss = "binary_crossentropy"
    model: Any = new()
    model.compile(adam(model, settings), [loss] * labels.shape[1] if labels.ndim == 2 else loss)

    def fit() -> None:
        with redirect_stdout(io.StringIO()):
            model.fit([x], y, settings.batch_size, verbose=0)

    def predict() -> Tensor:
        return torch.from_numpy(model.predict([x], PREDICTION_ROWS)).view(labels.shape)

    loops = bare_loops("deepctr-torch", new, slots, labels, settings, outputs)
    return {"deepctr-torch fit": Contender(fit, predict)} | loops
