"""FuxiCTR's models as classifiers: https://github.com/reczoo/FuxiCTR, 2.3.

Its package has the base class, the layers and the training loop. The models themselves are files in
the folder ``model_zoo`` of its repository.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.errors import ConfigError
from metaselector.config.plugins.from_file import load_from_file
from metaselector.config.plugins.from_package import is_dotted, load_dotted
from metaselector.models.external.columns import Columns

_LABEL = "label"


class FuxiCTRModel:
    """A model of FuxiCTR, trained by its own ``fit``.

    Categories are its categorical features, all other columns its numeric ones, standardised. Its
    ``fit`` would save the best weights to disk and unpickle them at the end. Here it does not
    evaluate during training, and the last weights stay in memory.

    Args:
        model: its class, a subclass of ``fuxictr.pytorch.models.BaseModel``, such as
            ``FuxiCTR/model_zoo/DCN/DCN_torch/src/DCN.py:DCN``, or ``package.module.Class``.
        embedding_size: of every field.
        epochs: passes over the rows; there is no early stopping.
        batch_size: rows a step.
        learning_rate: Adam's.
        options: further arguments of the model, such as ``dnn_hidden_units``. FuxiCTR's own
            classes accept any, even misspelt ones.
        random_state: seed of parameters, dropout and the order of the rows.

    Raises:
        ConfigError: the library is not installed, or there is no such model.
    """

    def __init__(
        self,
        model: str,
        *,
        embedding_size: int = 8,
        epochs: int = 3,
        batch_size: int = 512,
        learning_rate: float = 1e-3,
        options: Mapping[str, Any] | None = None,
        random_state: int = 0,
    ) -> None:
        try:
            from fuxictr.pytorch.models import BaseModel
        except ImportError as error:
            raise ConfigError(
                f"FuxiCTR cannot be imported ({error}); `pip install fuxictr`, or run `make "
                "benchmark-peers`"
            ) from error
        if is_dotted(model):
            self._class = load_dotted(model)
        else:
            self._class = load_from_file(model, BaseModel)
        if not (inspect.isclass(self._class) and issubclass(self._class, BaseModel)):
            raise ConfigError(f"model: {model} is not a subclass of FuxiCTR's BaseModel")
        self._settings = {
            "embedding_dim": embedding_size,
            "learning_rate": learning_rate,
            "optimizer": "adam",
            "loss": "binary_crossentropy",
            "metrics": [],
            "verbose": 0,
            "gpu": -1,
            "model_root": "",
            **(options or {}),
        }
        self._epochs, self._batch_size, self._seed = epochs, batch_size, random_state

    def fit(
        self, X: pd.DataFrame, y: NDArray[np.int64], categorical_feature: Sequence[str] = ()
    ) -> Self:
        """Train on rows ``[N, G]`` with labels ``[N]``, 0 or 1."""
        self._columns = Columns(X, categorical_feature)
        batches = _Batches(self._inputs(X) | {_LABEL: torch.from_numpy(y)}, self._batch_size, True)
        with torch.random.fork_rng(devices=[]):
            torch.default_generator.manual_seed(self._seed)
            self._model = self._class(
                self._feature_map(),
                **self._settings,
                eval_steps=self._epochs * len(batches) + 1,  # never
            )
            self._model.load_weights = lambda path: None
            self._model.fit(batches, self._epochs)
        return self

    def predict_proba(self, X: pd.DataFrame) -> NDArray[np.float64]:
        """Probabilities ``[N, 2]`` of 0 and 1."""
        p = self._model.predict(_Batches(self._inputs(X), self._batch_size, False)).reshape(-1)
        return np.stack([1 - p, p], axis=1)

    def _inputs(self, table: pd.DataFrame) -> dict[str, Tensor]:
        return {name: torch.from_numpy(v) for name, v in self._columns.inputs(table).items()}

    def _feature_map(self) -> Any:
        from fuxictr.features import FeatureMap

        made = FeatureMap("rows", "")
        made.labels = [_LABEL]
        for name, size in self._columns.sizes.items():
            made.features[name] = {"source": "", "type": "categorical", "vocab_size": size}
        for name in self._columns.numbers:
            made.features[name] = {"source": "", "type": "numeric"}
        made.num_fields = made.get_num_fields()
        made.total_features = sum(self._columns.sizes.values()) + len(self._columns.numbers)
        made.default_emb_dim = self._settings["embedding_dim"]
        made.set_column_index()
        return made


class _Batches:
    """Batches of rows, by column, as FuxiCTR's loaders give them; reshuffled in each pass."""

    def __init__(self, columns: Mapping[str, Tensor], size: int, shuffled: bool) -> None:
        self._columns, self._size, self._shuffled = columns, size, shuffled
        self._rows = len(next(iter(columns.values())))

    def __len__(self) -> int:
        return -(-self._rows // self._size)

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        order = torch.randperm(self._rows) if self._shuffled else torch.arange(self._rows)
        for rows in order.split(self._size):
            yield {name: column[rows] for name, column in self._columns.items()}
