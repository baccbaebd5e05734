"""DeepCTR-Torch's models as classifiers: https://github.com/shenweichen/DeepCTR-Torch, 0.3.0."""

from __future__ import annotations

import inspect
import io
import sys
import types
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError, nearest
from metaselector.models.external.columns import Columns

_FEATURES = {"linear_feature_columns", "dnn_feature_columns"}


class DeepCTRModel:
    """A model of DeepCTR-Torch, trained by its own ``fit``.

    Categories are its ``SparseFeat``, all other columns its ``DenseFeat``, standardised. The
    model is neither written to disk nor read from it.

    Args:
        model: name of a class of ``deepctr_torch.models`` that needs no history and has one task,
            such as DCN, xDeepFM or AutoInt. Some raise an error if there are numbers.
        embedding_size: of every category.
        epochs: passes over the rows; there is no early stopping.
        batch_size: rows a step.
        learning_rate: Adam's.
        options: arguments of the model's constructor, such as ``dnn_hidden_units``.
        device: torch device.
        random_state: seed of parameters, dropout and the order of the rows.

    Raises:
        ConfigError: the library is not installed, or there is no such model or option.
    """

    def __init__(
        self,
        model: str = "DeepFM",
        *,
        embedding_size: int = 8,
        epochs: int = 3,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        options: Mapping[str, Any] | None = None,
        device: str = "cpu",
        random_state: int = 0,
    ) -> None:
        models = deepctr_torch_models()
        if model not in models:
            raise ConfigError(f"model: DeepCTR-Torch has no '{model}'; {nearest(model, models)}")
        self._class, self._options = models[model], dict(options or {})
        valid = set(inspect.signature(self._class).parameters) - _FEATURES - {"device", "seed"}
        for option in self._options:
            if option not in valid:
                raise ConfigError(f"options.{option}: {model} has none; {nearest(option, valid)}")
        self._embedding_size, self._epochs, self._batch_size = embedding_size, epochs, batch_size
        self._learning_rate, self._device, self._seed = learning_rate, device, random_state

    def fit(
        self, X: pd.DataFrame, y: NDArray[np.int64], categorical_feature: Sequence[str] = ()
    ) -> Self:
        """Train on rows ``[N, G]`` with labels ``[N]``, 0 or 1."""
        from deepctr_torch.inputs import DenseFeat, SparseFeat

        self._columns = Columns(X, categorical_feature)
        features = [
            SparseFeat(name, size, self._embedding_size)
            for name, size in self._columns.sizes.items()
        ] + [DenseFeat(name, 1) for name in self._columns.numbers]
        asked = _FEATURES & inspect.signature(self._class).parameters.keys()
        with torch.random.fork_rng():  # its constructor seeds torch
            self._model = self._class(
                **dict.fromkeys(asked, features),
                **self._options,
                device=self._device,
                seed=self._seed,
            )
            adam = torch.optim.Adam(self._model.parameters(), lr=self._learning_rate)
            self._model.compile(adam, "binary_crossentropy")
            with redirect_stdout(io.StringIO()):  # it prints the device and how many rows
                self._model.fit(
                    self._columns.inputs(X),
                    y.astype(np.float32),
                    self._batch_size,
                    self._epochs,
                    verbose=0,
                )
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities ``[N, 2]`` of 0 and 1."""
        with torch.random.fork_rng():  # its loader draws a seed
            p = self._model.predict(self._columns.inputs(X), self._batch_size).reshape(-1)
        return np.stack([1 - p, p], axis=1)


def deepctr_torch_models() -> dict[str, type]:
    """DeepCTR-Torch's single-task models that need no history, by name.

    Raises:
        ConfigError: the library is not installed.
    """
    silence_version_check()
    try:
        from deepctr_torch import models
    except ImportError as error:
        raise ConfigError(
            "DeepCTR-Torch is not installed; `pip install deepctr-torch`, or run `make peers`"
        ) from error
    return {
        name: found
        for name, found in vars(models).items()
        if inspect.isclass(found)
        and "multitask" not in found.__module__
        and {
            key
            for key, parameter in inspect.signature(found).parameters.items()
            if parameter.default is inspect.Parameter.empty
        }
        <= _FEATURES
    }


def silence_version_check() -> None:
    """Keep DeepCTR-Torch, when imported, from asking PyPI for its latest release.

    It would do so through a library that it does not require. The module with the check contains
    nothing else, so a module with an empty check replaces it.
    """
    quiet: Any = types.ModuleType("deepctr_torch.utils")
    quiet.check_version = lambda _: None
    sys.modules.setdefault(quiet.__name__, quiet)
