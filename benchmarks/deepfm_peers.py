"""The DeepFMs of DeepCTR-Torch and torch-rechub on our rows.

They take what ours takes: a field of one slot as a categorical feature, a field of several as a
sequence that is pooled by its mean, every field with a table of as many rows (and one for padding)
and the same width. DeepCTR-Torch then computes what ours does: with our parameters, its predictions
are ours to the last digits of float64. What still differs:

- Neither takes a weight for a word, so both pool the genres of the history unweighted.
- torch-rechub's first-order term is a dense layer on the embeddings, its MLP has batch-norm that
  cannot be turned off, and its DeepFM looks every embedding up twice.
- Ours has an L2 penalty in Adam. Theirs is off, which is faster.
"""

from __future__ import annotations

import io
import sys
import types
from collections.abc import Callable, Mapping
from contextlib import redirect_stdout
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from metaselector.data.dataset import EncodedDataset
from metaselector.data.schema import PADDING_ID
from metaselector.errors import UserError
from metaselector.pretrain import PREDICTION_ROWS

PEERS = ("deepctr-torch", "torch-rechub")


class Contender(NamedTuple):
    """What is timed of a model.

    Attributes:
        train: makes one pass over the rows.
        predict: returns the probabilities of the rows, ``[n]``.
    """

    train: Callable[[], object]
    predict: Callable[[], Tensor]


class Column(NamedTuple):
    """A field as the peers take it.

    Attributes:
        size: rows of its embedding table.
        ids: int64 ``[n, slots]``, 0 is padding.
    """

    size: int
    ids: Tensor


class Settings(NamedTuple):
    """What ours and the peers share."""

    embedding_size: int
    hidden_sizes: tuple[int, ...]
    learning_rate: float
    batch_size: int
    device: str


Cut = Callable[[Tensor], Any]
"""The inputs of the given rows, as a peer's ``forward`` takes them."""


def columns(dataset: EncodedDataset, rows: NDArray[np.int64]) -> dict[str, Column]:
    """The slots of `rows` by field, each field with an id space of its own."""
    ids = dataset.batch(rows).ids
    found: dict[str, Column] = {}
    start = 0
    for field in dataset.schema.fields:
        shared = ids[:, start : start + field.slots]  # [n, slots]
        own = torch.where(shared == PADDING_ID, 0, shared - field.first_id + 1)
        found[field.name] = Column(field.num_ids + 1, own)
        start += field.slots
    return found


def peers(fields: Mapping[str, Column], labels: Tensor, settings: Settings) -> dict[str, Contender]:
    """Both peers, each in the loop of its library and in a bare one, with Adam plain and fused.

    Raises:
        UserError: a peer is not installed.
    """
    try:
        deepctr_torch = _deepctr_torch(fields, labels, settings)
        return deepctr_torch | _torch_rechub(fields, labels, settings)
    except ModuleNotFoundError as error:
        raise UserError(f"{error.name} is not installed; run `make benchmark-peers`") from error


def _deepctr_torch(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    # On import, the package asks PyPI for its latest release, through a library that it does not
    # require. The module that does so holds nothing else; an empty check takes its place.
    quiet: Any = types.ModuleType("deepctr_torch.utils")
    quiet.check_version = lambda _: None
    sys.modules.setdefault(quiet.__name__, quiet)
    from deepctr_torch.inputs import SparseFeat, VarLenSparseFeat
    from deepctr_torch.models import DeepFM

    def feature(name: str, size: int, slots: int) -> Any:
        one = SparseFeat(name, size, settings.embedding_size)
        return one if slots == 1 else VarLenSparseFeat(one, slots, "mean")

    features = [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]

    def new() -> nn.Module:
        return DeepFM(
            features,
            features,
            dnn_hidden_units=settings.hidden_sizes,
            l2_reg_linear=0,
            l2_reg_embedding=0,
            device=settings.device,
        )

    inputs = torch.cat([column.ids for column in fields.values()], dim=1).float()  # [n, C]
    x, y = inputs.numpy(), labels.numpy()
    model: Any = new()
    model.compile(_adam(model, settings), "binary_crossentropy")

    def fit() -> None:
        with redirect_stdout(io.StringIO()):
            model.fit([x], y, settings.batch_size, verbose=0)

    def predict() -> Tensor:
        return torch.from_numpy(model.predict([x], PREDICTION_ROWS)).flatten()

    def cut(rows: Tensor) -> Tensor:
        return inputs[rows].to(settings.device)

    bare = _bare("deepctr-torch", new, cut, labels, settings)
    return {"deepctr-torch fit": Contender(fit, predict)} | bare


def _torch_rechub(
    fields: Mapping[str, Column], labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    from torch_rechub.basic.features import SequenceFeature, SparseFeature
    from torch_rechub.models.ranking import DeepFM
    from torch_rechub.trainers import CTRTrainer, ctr_trainer
    from torch_rechub.utils.data import DataGenerator
    from tqdm import tqdm

    ctr_trainer.tqdm = types.SimpleNamespace(tqdm=partial(tqdm, disable=True))

    def feature(name: str, size: int, slots: int) -> Any:
        kind = SparseFeature if slots == 1 else SequenceFeature
        return kind(name, size, settings.embedding_size, padding_idx=0)

    def new() -> nn.Module:
        # A feature keeps its table, so that every model needs features of its own.
        features = [feature(name, size, ids.shape[1]) for name, (size, ids) in fields.items()]
        return DeepFM(features, features, {"dims": settings.hidden_sizes})

    inputs = {name: ids.squeeze(1) for name, (_, ids) in fields.items()}  # [n] or [n, slots]
    trainer = CTRTrainer(
        new(), optimizer_params={"lr": settings.learning_rate}, device=settings.device
    )
    loaders = partial(
        DataGenerator(inputs, labels).generate_dataloader,
        x_val={},
        y_val=[],
        x_test=inputs,
        y_test=labels,
    )
    train, _, _ = loaders(batch_size=settings.batch_size)
    _, _, test = loaders(batch_size=PREDICTION_ROWS)
    fit = Contender(
        lambda: trainer.train_one_epoch(train),
        lambda: torch.tensor(trainer.predict(trainer.model, test)),
    )

    def cut(rows: Tensor) -> dict[str, Tensor]:
        return {name: ids[rows].to(settings.device) for name, ids in inputs.items()}

    return {"torch-rechub fit": fit} | _bare("torch-rechub", new, cut, labels, settings)


def _bare(
    name: str, new: Callable[[], nn.Module], cut: Cut, labels: Tensor, settings: Settings
) -> dict[str, Contender]:
    """Their module in the shortest loop there is, on batches that are made before."""
    n = len(labels)
    batches = [
        (cut(rows), labels[rows].to(settings.device))
        for rows in torch.randperm(n).split(settings.batch_size)
    ]
    in_order = [cut(rows) for rows in torch.arange(n).split(PREDICTION_ROWS)]

    def contender(fused: bool) -> Contender:
        model = new().to(settings.device)
        optimizer = _adam(model, settings, fused)

        def train() -> None:
            model.train()
            for inputs, answers in batches:
                loss = F.binary_cross_entropy(model(inputs).flatten(), answers)
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()

        @torch.no_grad()
        def predict() -> Tensor:
            model.eval()
            return torch.cat([model(inputs).flatten().cpu() for inputs in in_order])

        return Contender(train, predict)

    return {f"{name} loop": contender(False), f"{name} loop, fused Adam": contender(True)}


def _adam(model: nn.Module, settings: Settings, fused: bool = False) -> torch.optim.Adam:
    return torch.optim.Adam(model.parameters(), lr=settings.learning_rate, fused=fused or None)
