"""Cross-fitted base models: meta-training with queries from all of *train* except its beginning.

Each user's rows of *train* are split by time into :data:`FOLDS` blocks. The base models of a fold
are trained on *train* without one block, whose rows are the fold's queries; the rows right before
it are the support. The first block has no rows before it, so it provides no queries. The base
models of the last block are the early ones, if *early* ends where the block starts.

The base models of the other folds know what users did *after* the queries, an advantage that they
do not have in the test.
"""

from __future__ import annotations

import time
from dataclasses import replace
from itertools import cycle, pairwise
from typing import NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.progress import Progress
from metaselector.config import SplitConfig
from metaselector.data.splitting.episodes import EpisodeRows, load_episodes, window_episodes
from metaselector.data.splitting.protocol import Window
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapted import valid_loss
from metaselector.meta.optimizers import outer_optimizers
from metaselector.meta.parameters import PHI, MetaParameters
from metaselector.meta.variants import Variant, kind_of, make_adaptation
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.runs.run import Run
from metaselector.training.loop.train import EarlyStopping
from metaselector.training.pretrain import pretrain

FOLDS = 4

Tensors = dict[str, Tensor]


class Fold(NamedTuple):
    """A block of rows, and the base models that were trained without it.

    Attributes:
        base_models: name of the base models' checkpoints.
        start, stop: the block, in percent of a user's rows.
    """

    base_models: Window
    start: int
    stop: int


def folds_of(split: SplitConfig) -> list[Fold]:
    """The folds that provide queries, in order of time."""
    edges = [split.train * i // FOLDS for i in range(FOLDS + 1)]
    return [
        Fold(
            "early" if start == split.early else cast(Window, f"without-{start}-{stop}"),
            start,
            stop,
        )
        for start, stop in pairwise(edges[1:])
    ]


def fitting_rows(run: Run, fold: Fold) -> NDArray[np.int64]:
    """Rows of *train* outside the fold's block."""
    offsets, train = run.dataset.user_offsets, run.config.split.train
    parts = ((0, fold.start), (fold.stop, train))
    return np.sort(np.concatenate([window_rows(offsets, *part) for part in parts]))


def pretrain_folds(run: Run, seed: int, progress: Progress) -> None:
    """Train the missing base models of all folds, in the same way as the early ones."""
    for fold in folds_of(run.config.split):
        for name, settings in run.config.base_models.items():
            if not run.checkpoints.has_base(name, fold.base_models, seed):
                model = run.checkpoints.new_base(name, seed)
                made = pretrain(
                    model,
                    run.protocol.fitting_dataset,
                    fitting_rows(run, fold),
                    settings.pretrain,
                    np.random.default_rng(seed),
                    valid=run.protocol.stopping_rows(),
                    epochs=settings.pretrain.epochs,
                    description=f"seed {seed}: pretrain {name} ({fold.base_models})",
                    progress=progress,
                )
                run.checkpoints.save_base(name, fold.base_models, seed, model, made)


def meta_train(
    variant: Variant,
    run: Run,
    seed: int,
    *,
    start_from: MetaParameters | None,
    description: str,
    progress: Progress,
) -> MetaParameters:
    """Meta-train one variant, each meta-batch on the next fold.

    All folds share phi, alpha and the shift of theta; theta of a fold is the parameters of its base
    models plus the shift. An epoch has as many meta-batches as without folds. Episodes are split
    into support and query where the block starts, and ``meta_train.support_boundary`` is ignored.
    Otherwise this works like :func:`metaselector.meta.train.meta_train`.
    """
    started, config = time.perf_counter(), run.config
    pretrain_folds(run, seed, progress)
    folds = folds_of(config.split)
    mixture, later = (
        run.checkpoints.load_mixture(of, seed) for of in (folds[0].base_models, "train")
    )
    bases = [_theta(run.checkpoints.load_mixture(fold.base_models, seed)) for fold in folds]
    if start_from is not None:
        start_from.attach(mixture)
    adaptation = make_adaptation(variant, mixture, config)
    joint = kind_of(variant) == "metaselector"
    for each in (mixture, later):
        each.base_models.requires_grad_(joint)
    alpha = adaptation.initial_rates(dict(mixture.named_parameters()))
    episode = EpisodeLoss(mixture, alpha, adaptation, make_engine(config.adapt.engine), mean_loss)
    settings = config.meta_train
    if variant == "sample-selector":
        settings = settings.model_copy(update={"outer_lr_phi": config.selector.learning_rate})
    optimizers = outer_optimizers(mixture, episode, settings)
    generator, turn = np.random.default_rng(seed), cycle(range(len(folds)))
    now = 0  # fold whose base models are in the mixture

    def learned() -> MetaParameters:
        shift = {name: p - bases[now][name] for name, p in _theta(mixture).items()}
        return MetaParameters(
            phi={n: p.detach().clone() for n, p in mixture.named_parameters() if n.startswith(PHI)},
            theta_delta=shift if joint else {},
            alpha={name: rate.detach().clone() for name, rate in episode.rates.items()},
        )

    best, history = learned(), []
    stopping = EarlyStopping(settings.patience)
    batches = -(-len(run.protocol.learners) // settings.users_per_batch)
    with progress.task(description, settings.epochs * batches) as advance:
        for epoch in range(settings.epochs + 1):
            losses = []
            parts = []  # epoch 0 is before training
            if epoch:
                parts = np.array_split(generator.permutation(run.protocol.learners), batches)
            for users in parts:
                before, now = now, next(turn)
                if now != before:
                    _change_base(mixture, bases[before], bases[now])
                batch = load_episodes(run.dataset, _episodes(run, folds[now], users))
                episode.zero_grad(set_to_none=True)
                users_at_once = config.adapt.max_users_per_chunk
                losses.append(episode.accumulate_gradients(batch.to(config.device), users_at_once))
                for optimizer in optimizers:
                    optimizer.step()
                advance()
            candidate = learned()
            loss = valid_loss(candidate, later, adaptation, run.protocol)
            train_loss = float(np.mean(losses)) if epoch else None
            history.append({"epoch": epoch, "train_loss": train_loss, "valid_loss": loss})
            if stopping.improved(epoch, loss):
                best = candidate
            elif stopping.exhausted(epoch):
                break
    best.history, best.best_epoch = history, stopping.best_epoch
    best.seconds = time.perf_counter() - started
    return best


def _episodes(run: Run, fold: Fold, users: NDArray[np.int64]) -> EpisodeRows:
    block = (fold.start, fold.stop)
    found = window_episodes(run.dataset, block, run.config.adapt.support_size, users)
    return replace(found, query=found.query[:, : run.config.meta_train.query_size])


def _theta(mixture: Mixture) -> Tensors:
    """A copy of the base models' parameters, by name in the mixture."""
    named = mixture.named_parameters()
    return {name: p.detach().clone() for name, p in named if not name.startswith(PHI)}


@torch.no_grad()
def _change_base(mixture: Mixture, before: Tensors, after: Tensors) -> None:
    """Replace the base parameters `before` by `after`, in place, and keep the shift."""
    for name, p in mixture.named_parameters():
        if name in before:
            p.copy_(after[name] + (p - before[name]))
