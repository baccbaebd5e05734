"""A world with two sufficient views, in which co-training helps."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from base_models import LR
from metaselector.common.progress import Silent
from metaselector.config.training import PeerLearningConfig, PretrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.splitting.windows import window_rows
from metaselector.training.freezing import Freezing
from metaselector.training.peer_learning.co_training import co_train
from metaselector.training.peer_learning.together import Peer
from metaselector.training.peer_learning.views import View
from metaselector.training.predict import predict


def two_views(users: int, items: int, generator: np.random.Generator) -> EncodedDataset:
    """Items of two groups, which the label is; either of two fields of words alone tells it, and
    both say independent words of it. Every user has a row of each of a few items."""
    words = 30
    good = generator.integers(2, size=items)
    cells = np.stack([good * words + generator.integers(words, size=items) for _ in range(2)], 1)
    fields, first = [], 1
    for name in ("left", "right"):
        vocabulary = tuple(str(i) for i in range(2 * words))
        field = Field(
            name=name,
            kind="categorical",
            of="item",
            slots=1,
            first_id=first,
            vocabulary=vocabulary,
        )
        fields.append(field)
        first += field.num_ids
    rows = 12
    item = np.stack([generator.choice(items, rows, replace=False) for _ in range(users)]).ravel()
    schema = Schema(
        dataset="two-views",
        label_threshold=1,
        history_length=0,
        windows=(60, 80, 90),
        fields=tuple(fields),
    )
    start = np.array([field.first_id + 1 for field in fields])
    bare = EncodedDataset.of_rows(
        schema,
        cells=np.zeros((users * rows, 0), dtype=np.int32),
        labels=good[item].astype(np.float32),
        user_offsets=np.arange(users + 1) * rows,
        user_names=tuple(map(str, range(users))),
    )
    return replace(bare, items=item.astype(np.int32), item_cells=(cells + start).astype(np.int32))


def errors_of_two_views(confidence: float) -> list[float]:
    """Error rates on *test*, of a model for each view that has the labels of half of the users."""
    dataset = two_views(40, 400, np.random.default_rng(0))
    labelled = window_rows(dataset.user_offsets, 0, 20)
    half = dataset.users[labelled] < 20
    valid, test = (window_rows(dataset.user_offsets, *part) for part in ((80, 90), (90, 100)))
    config = PretrainConfig(learning_rate=0.1, weight_decay=1e-4, batch_size=16, epochs=20)
    peers = []
    for name, seen in (("left", [True, False]), ("right", [False, True])):
        model = View(LR(dataset.schema.num_ids, dataset.schema.slot_fields), seen)
        peers.append(Peer(name, model, config, 20, Freezing(name, {}, (), None)))
    peer_learning = PeerLearningConfig(
        strategy="co-training",
        confidence=confidence,
        growth=3.0,
        most=9.0,
        candidates=5.0,
        pair_weight=1.0,
        rounds=3,
        patience=3,
    )
    co_train(
        peers,
        dataset,
        [labelled[half], labelled[~half]],
        peer_learning,
        np.random.default_rng(0),
        valid=valid,
        description="views",
        progress=Silent(),
    )
    y = dataset.label(test) > 0
    return [((predict(p.model, dataset, test) > 0) != y).double().mean().item() for p in peers]


def test_two_sufficient_views_and_few_labels() -> None:
    """Each model knows the words of its view that its few labels show, and labels items by them
    whose word in the other view the other model has not seen: Blum and Mitchell's argument."""
    alone, together = errors_of_two_views(1 - 1e-9), errors_of_two_views(0.7)
    assert all(ours < 0.75 * others for ours, others in zip(together, alone, strict=True))
    assert min(alone) > 0.05
