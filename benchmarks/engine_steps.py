"""The steps that :mod:`benchmarks.engine_speed` times: ours, the peers', and plain training."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext

import numpy as np
import torch
from torch import Tensor

from metaselector.config import Config
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    Episodes,
    Rows,
    load_episodes,
    rows_around,
)
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.engines.func import FuncEngine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MetaSGD
from metaselector.meta.adapt.touched import as_tree, of_tree
from metaselector.meta.optimizers import outer_optimizers
from metaselector.models import registry
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.kernels.replay import Recorder
from metaselector.models.kernels.trees import flatten, unflatten
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.models.selector import GatedSelector

USERS, SUPPORT, QUERY = 32, 20, 20
RATE = 0.05

Step = Callable[[], object]


def make_mixture(dataset: EncodedDataset, num_ids: int, device: str) -> Mixture:
    """Untrained LR, FM and DeepFM (D = 16) under a selector, with tables of `num_ids` rows."""
    slot_fields = dataset.schema.slot_fields
    torch.manual_seed(0)
    models = {
        "lr": registry.model_class("lr")(num_ids, slot_fields),
        "fm": registry.model_class("fm")(num_ids, slot_fields, embedding_size=16),
        "deepfm": registry.model_class("deepfm")(
            num_ids, slot_fields, embedding_size=16, hidden_sizes=(64, 64)
        ),
    }
    return Mixture(models, GatedSelector(num_ids, slot_fields, len(models))).to(device).eval()


def sample_episodes(
    dataset: EncodedDataset, num_ids: int, device: str, *, tiny: bool = False, users: int = USERS
) -> Episodes:
    """Support and query of random users with enough rows, ids scattered over `num_ids` rows.

    Args:
        users: how many; fewer if the data has no more with enough rows.
        tiny: two users with two rows of each kind, so that only overhead is timed.
    """
    generator = np.random.default_rng(0)
    counts = np.diff(dataset.user_offsets)
    enough = np.flatnonzero(counts >= SUPPORT + QUERY)
    drawn = generator.choice(enough, min(users, len(enough)), replace=False)
    first, stop = dataset.user_offsets[drawn], dataset.user_offsets[drawn + 1]
    cut = generator.integers(first + SUPPORT, stop - QUERY + 1)
    rows = rows_around(drawn, first, cut, stop, SUPPORT, QUERY)
    known = dataset.schema.num_ids
    scattered = 1 + generator.choice(num_ids - 1, known - 1, replace=False)
    new_id = torch.from_numpy(np.concatenate([[0], scattered]))  # 0 stays the padding id

    def scatter(rows: Rows) -> Rows:
        return Rows(Batch(new_id[rows.batch.ids], rows.batch.values), rows.labels, rows.mask)

    if tiny:
        rows = EpisodeRows(rows.users[:2], rows.support[:2, :2], rows.query[:2, :2])
    episodes = load_episodes(dataset, rows)
    return Episodes(scatter(episodes.support), scatter(episodes.query)).to(device)


def make_adaptation(mixture: Mixture, *, second_order: bool = True) -> Adaptation:
    """One step of Meta-SGD on all parameters, with a learning rate per tensor."""
    rule = MetaSGD(RATE, second_order=second_order)
    return Adaptation(rule, 1, tuple(name for name, _ in mixture.named_parameters()))


def meta_step(
    dataset: EncodedDataset,
    num_ids: int,
    device: str,
    *,
    second_order: bool = True,
    tiny: bool = False,
    users: int = USERS,
    recorded: bool = True,
) -> Step:
    """Our meta-step, as in meta-training.

    Args:
        recorded: as in a long one, where steps are recorded; it is by the time this returns.
    """
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device, tiny=tiny, users=users)
    adaptation = make_adaptation(mixture, second_order=second_order)
    rates = adaptation.rule.init(dict(mixture.named_parameters()))
    engine = FuncEngine(Recorder(calls=1)) if recorded else make_engine("func")
    episode = EpisodeLoss(mixture, rates, adaptation, engine, mean_loss)
    optimizers = outer_optimizers(mixture, episode, Config().meta_train)

    def step() -> float:
        episode.zero_grad(set_to_none=True)
        loss = episode.accumulate_gradients(episodes, users)
        for optimizer in optimizers:
            optimizer.step()
        return loss

    if engine.recorder is not None:  # the recording is trusted after a check on other users
        for some in (episodes, episodes, rolled(episodes), episodes):
            episode.accumulate_gradients(some, users)
        assert engine.recorder.replays == 1, engine.recorder.refused
    return step


def rolled(episodes: Episodes) -> Episodes:
    """The episodes with their users in another order."""
    leaves, spec = flatten(as_tree(episodes))
    return of_tree(unflatten(spec, iter([leaf.roll(1, 0) for leaf in leaves])))


def peer_step(dataset: EncodedDataset, num_ids: int, device: str, peer: str, users: int) -> Step:
    """The same step with another library, user by user on whole tables.

    Args:
        users: number of users whose graphs are kept at once.
    """
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device)
    adaptation = make_adaptation(mixture)
    params: dict[str, Tensor] = dict(mixture.named_parameters())
    rates = {name: rate.requires_grad_() for name, rate in adaptation.rule.init(params).items()}
    engine = make_engine(peer)
    optimizer = torch.optim.Adam([*params.values(), *rates.values()], lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        for chunk in episodes.split(users):
            output = engine(mixture, params, rates, adaptation, chunk, mean_loss)
            loss = mean_loss(output, chunk.query.labels, chunk.query.mask)
            (loss * len(chunk.query.labels) / USERS).backward()
        optimizer.step()

    return step


def plain_step(
    dataset: EncodedDataset,
    num_ids: int,
    device: str,
    *,
    fast: bool = True,
    tiny: bool = False,
    users: int = USERS,
) -> Step:
    """Ordinary training of the same model on the same rows, without adaptation.

    Args:
        fast: with the lookups of our pretraining; otherwise, only the model is ours.
    """
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device, tiny=tiny, users=users)
    parts = [episodes.support, episodes.query]
    slots = zip(*(part.batch.flatten() for part in parts), strict=True)
    batch = Batch(*(torch.cat(both) for both in slots))
    labels = torch.cat([part.labels.flatten() for part in parts])
    mask = torch.ones_like(labels)
    optimizer = torch.optim.Adam(mixture.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with Intercept(Lookups().handlers) if fast else nullcontext():
            output = mixture(batch)
        mean_loss(output, labels, mask).backward()
        optimizer.step()

    return step
