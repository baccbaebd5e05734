"""Save similarities with a model, and restore them without the rows that they were built from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.errors import ConfigError, UserError, mishap
from metaselector.config.plugins.kinds import SIMILARITIES
from metaselector.data.encoded.schema import Schema
from metaselector.models.similarity.contract import RowSimilarity, Similarities

_METHODS = ("state", "from_state")


class SaveableSimilarity(RowSimilarity, Protocol):
    """A similarity that can be saved with a model, as all built-in ones can.

    The two methods are optional. Without them a similarity works in a run, but a model that uses it
    cannot be saved.
    """

    def state(self) -> dict[str, Tensor]:
        """Everything that it remembers, as tensors by name; empty if nothing.

        Names have no ``/``. Whoever gets the model can read the tensors, so leave out who users
        are.
        """
        ...

    @classmethod
    def from_state(cls, schema: Schema, state: Mapping[str, Tensor]) -> Self:
        """Restore a similarity that returns the same numbers, bit for bit.

        Args:
            schema: that of the data set it was built from.
            state: what :meth:`state` returned, on the CPU.

        Raises:
            ValueError: `state` is damaged.
        """
        ...


class SimilarityState(NamedTuple):
    """What a model keeps of its similarities.

    Attributes:
        numbers: names of the numbers of each similarity, by its name, in order. Similarities that
            do not apply to the data are left out.
        tensors: their states, called ``<similarity>/<name>``.

    Example:
        >>> from metaselector.data.planted import planted_world
        >>> schema = planted_world(2, 10, 4, np.random.default_rng(0)).dataset.schema
        >>> class Constant:
        ...     names = ("constant",)
        ...     def __init__(self, value): self.value = value
        ...     def __call__(self, dataset, episodes): ...
        ...     def state(self): return {"value": torch.tensor(self.value)}
        ...     @classmethod
        ...     def from_state(cls, schema, state): return cls(state["value"].item())
        >>> SIMILARITIES.registered["constant"] = Constant
        >>> saved = SimilarityState.of({"constant": Constant(0.5)})
        >>> saved.numbers, saved.tensors
        ({'constant': ('constant',)}, {'constant/value': tensor(0.5000)})
        >>> saved.restored(schema).parts["constant"].value
        0.5
        >>> del SIMILARITIES.registered["constant"]
    """

    numbers: Mapping[str, tuple[str, ...]]
    tensors: Mapping[str, Tensor]

    @classmethod
    def of(cls, parts: Mapping[str, RowSimilarity]) -> Self:
        """Ask similarities for their state.

        Raises:
            ConfigError: one of them cannot be saved.
        """
        used = {name: part for name, part in parts.items() if part.names}
        tensors = {
            f"{name}/{key}": tensor.detach().cpu()
            for name, part in used.items()
            for key, tensor in _state(name, part).items()
        }
        return cls({name: part.names for name, part in used.items()}, tensors)

    def restored(self, schema: Schema) -> Similarities:
        """Restore the similarities.

        Args:
            schema: that of the data set they were built from.

        Raises:
            ConfigError: a similarity is unknown, or is not one.
            ValueError: a state is missing or damaged.
        """
        states: dict[str, dict[str, Tensor]] = {name: {} for name in self.numbers}
        for key, tensor in self.tensors.items():
            name, _, inner = key.rpartition("/")
            if name not in states:
                raise ValueError(f"'{key}' belongs to no similarity of the model")
            states[name][inner] = tensor.cpu()
        parts = {name: _restored(name, schema, state) for name, state in states.items()}
        found = Similarities(parts)
        for name, numbers in self.numbers.items():
            if parts[name].names != numbers:
                raise ValueError(
                    f"similarity '{name}': has the numbers {[*parts[name].names]}, "
                    f"but was saved with {[*numbers]}"
                )
        return found


def arrays(
    state: Mapping[str, Tensor], expected: Mapping[str, tuple[torch.dtype, int]]
) -> list[NDArray[Any]]:
    """The tensors of a state as arrays, in the order of `expected`.

    Args:
        expected: dtype and number of axes of each.

    Raises:
        ValueError: a tensor is missing, is not expected, has another dtype or number of axes, or
            holds non-finite numbers.

    Example:
        >>> arrays({"a": torch.ones(2)}, {"a": (torch.float32, 1)})
        [array([1., 1.], dtype=float32)]
    """
    for name in state:
        if name not in expected:
            raise ValueError(f"has '{name}', which is not part of its state")
    found = []
    for name, (dtype, axes) in expected.items():
        if name not in state:
            raise ValueError(f"has no '{name}'")
        tensor = state[name]
        if tensor.dtype != dtype or tensor.ndim != axes:
            wanted, given = (str(of).removeprefix("torch.") for of in (dtype, tensor.dtype))
            raise ValueError(
                f"'{name}' is {given} with {tensor.ndim} axes, not {wanted} with {axes}"
            )
        found.append(tensor.numpy())
        if not np.isfinite(found[-1]).all():
            raise ValueError(f"'{name}' holds non-finite numbers")
    return found


def _state(name: str, part: Any) -> dict[str, Tensor]:
    _check_saveable(name, part)
    try:
        found: dict[str, Tensor] = part.state()
    except UserError:
        raise
    except Exception as error:  # whatever a plug-in does
        raise ConfigError(f"similarity '{name}': state() fails ({mishap(error)})") from error
    if not isinstance(found, dict) or not all(
        isinstance(key, str) and "/" not in key and isinstance(tensor, Tensor)
        for key, tensor in found.items()
    ):
        raise ConfigError(
            f"similarity '{name}': state() must return a dictionary of tensors whose names have "
            "no '/'"
        )
    return found


def _restored(name: str, schema: Schema, state: Mapping[str, Tensor]) -> RowSimilarity:
    cls: Any = SIMILARITIES.load(name)
    _check_saveable(name, cls)
    try:
        found: RowSimilarity = cls.from_state(schema, state)
    except UserError:
        raise
    except ValueError as error:
        raise ValueError(f"similarity '{name}': {error}") from error
    except Exception as error:  # whatever a plug-in does
        raise ValueError(
            f"similarity '{name}': from_state(schema, state) fails ({mishap(error)})"
        ) from error
    return found


def _check_saveable(name: str, of: Any) -> None:
    if missing := [method for method in _METHODS if not callable(getattr(of, method, None))]:
        raise ConfigError(
            f"similarity '{name}': has no method {missing[0]}, so a model that uses it cannot be "
            "saved; add the method, or remove the similarity from adapt.residuals.similarities "
            "and train again"
        )
