"""The outer loop: learn where adaptation starts (theta, phi) and how far it steps (alpha).

Queries must be out-of-sample for the base models, or the meta-learner overfits. So it learns against
*early* base models, on queries from the window after those were trained, and is validated and used
attached to *later* base models: phi and alpha carry over as they are, and theta as the shift that the
outer loop made to the early models' parameters.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor, nn

from metaselector.adapt.engine import Adaptation, select_names
from metaselector.adapt.episode import EpisodeLoss
from metaselector.adapt.func import FuncEngine
from metaselector.adapt.rules import MAML, InnerRule, MetaSGD
from metaselector.config import AdaptConfig, Config
from metaselector.data.dataset import EncodedDataset
from metaselector.data.episodes import load_episodes, sample_episodes
from metaselector.early_stopping import EarlyStopping
from metaselector.errors import ConfigError
from metaselector.mixture import Mixture, mean_loss
from metaselector.predict import predict_window
from metaselector.progress import Progress
from metaselector.selector import GatedSelector

Variant = Literal["sample-selector", "metaselector-simplified", "metaselector"]
PHI = "selector."


@dataclass
class MetaLearned:
    """What the outer loop learned.

    Attributes:
        phi: parameters of the selector.
        shift: change of the base models' initial parameters, by their name in the mixture; empty
            where the base models are frozen.
        alpha: inner learning rates.
        history: per epoch ``epoch, train_loss, valid_loss`` (epoch 0 is before training).
        rates: per epoch and parameter ``epoch, parameter, mean, low, high``.
        best_epoch: the epoch these were taken from, by the loss on *valid*.
    """

    phi: dict[str, Tensor]
    shift: dict[str, Tensor]
    alpha: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0

    def attach(self, mixture: Mixture) -> Mixture:
        """Give `mixture`, which holds other base models, this phi and this shift, in place."""
        with torch.no_grad():
            for name, parameter in mixture.named_parameters():
                if name in self.phi:
                    parameter.copy_(self.phi[name])
                elif name in self.shift:
                    parameter.add_(self.shift[name].to(parameter.device))
        return mixture


def make_rule(config: AdaptConfig) -> InnerRule:
    """The inner rule that the settings ask for."""

    def rate(name: str) -> float:
        return config.phi_rate if name.startswith(PHI) else config.theta_rate

    if config.rule == "meta-sgd":
        if config.granularity == "scalar" and config.phi_rate != config.theta_rate:
            raise ConfigError(
                "adapt.granularity=scalar shares one rate: set adapt.phi_rate and adapt.theta_rate "
                f"to the same number (got {config.phi_rate} and {config.theta_rate})"
            )
        return MetaSGD(rate, granularity=config.granularity)
    return MAML(rate, second_order=config.rule == "maml")


def make_adaptation(variant: Variant, mixture: Mixture, config: AdaptConfig) -> Adaptation:
    """What adapts: nothing (sample-selector), phi only (simplified), or both (joint)."""
    names = select_names(dict(mixture.named_parameters()), config.names)
    if variant != "metaselector":
        names = tuple(name for name in names if name.startswith(PHI))
    steps = 0 if variant == "sample-selector" else config.steps
    if steps and not names:
        raise ConfigError(f"adapt.names={list(config.names)} selects no parameter of the selector")
    return Adaptation(make_rule(config), steps, names if steps else ())


def make_mixture(
    base_models: Mapping[str, nn.Module], dataset: EncodedDataset, config: Config, seed: int
) -> Mixture:
    """The base models under a fresh selector, in evaluation mode: adaptation uses no dropout."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        selector = GatedSelector(
            dataset.schema.num_ids,
            dataset.schema.slot_fields,
            len(base_models),
            config.selector.embedding_size,
            config.selector.hidden_size,
        )
    return Mixture(base_models, selector).to(config.device).eval()


def meta_train(
    variant: Variant,
    dataset: EncodedDataset,
    early: Mixture,
    later: Mixture,
    config: Config,
    generator: np.random.Generator,
    *,
    description: str,
    progress: Progress,
) -> MetaLearned:
    """Meta-train one variant.

    Args:
        variant: ``sample-selector`` is the same network trained on the same queries without an inner
            loop; ``metaselector-simplified`` freezes theta; ``metaselector`` (joint) does not.
        early: mixture on base models trained on the early window; changed in place.
        later: mixture on base models trained on *train*, with which it is validated; restored.
        generator: draws users and cuts.
        description: what the progress bar calls it.
    """
    adaptation = make_adaptation(variant, early, config.adapt)
    joint = variant == "metaselector"
    for mixture in (early, later):
        mixture.base_models.requires_grad_(joint)
    params = dict(early.named_parameters())
    start = {name: p.detach().clone() for name, p in params.items()}
    later_start = {name: p.detach().clone() for name, p in later.named_parameters()}
    alpha = adaptation.rule.init({name: start[name] for name in adaptation.names}) if adaptation.names else {}
    episode = EpisodeLoss(early, alpha, adaptation, FuncEngine(), mean_loss)
    optimizer = _outer_optimizer(episode, joint, config)
    windows = config.split
    stopping = EarlyStopping(config.meta_train.patience)

    def learned() -> MetaLearned:
        now = {name: p.detach().clone() for name, p in params.items()}
        return MetaLearned(
            phi={name: p for name, p in now.items() if name.startswith(PHI)},
            shift={n: p - start[n] for n, p in now.items() if joint and not n.startswith(PHI)},
            alpha={name: rate.detach().clone() for name, rate in episode.rates.items()},
        )

    def validate(candidate: MetaLearned) -> float:
        candidate.attach(later)
        window = (windows.train, windows.valid)
        loss = predict_window(later, candidate.alpha, adaptation, dataset, window, config.adapt).loss()
        with torch.no_grad():
            for name, parameter in later.named_parameters():
                parameter.copy_(later_start[name])
        return loss

    best = learned()
    history: list[dict[str, Any]] = []
    rates: list[dict[str, Any]] = []
    batches = -(-dataset.num_users // config.meta_train.users_per_batch)
    with progress.task(description, config.meta_train.epochs * batches) as advance:
        for epoch in range(config.meta_train.epochs + 1):
            losses: list[float] = []
            order = generator.permutation(dataset.num_users) if epoch else np.array([], dtype=np.int64)
            for users in np.array_split(order, batches) if epoch else ():
                rows = sample_episodes(
                    dataset,
                    (windows.early, windows.train),
                    config.adapt.support_size,
                    config.meta_train.query_size,
                    np.sort(users),
                    generator,
                )
                if len(rows.users):
                    loss = episode(load_episodes(dataset, rows).to(config.device))
                    optimizer.zero_grad(set_to_none=True)
                    loss.backward()
                    optimizer.step()
                    losses.append(loss.item())
                advance()
            candidate = learned()
            valid_loss = validate(candidate)
            history.append(
                {
                    "epoch": epoch,
                    "train_loss": float(np.mean(losses)) if losses else None,
                    "valid_loss": valid_loss,
                }
            )
            rates += [{"epoch": epoch, **row} for row in _describe(candidate.alpha)]
            if stopping.improved(epoch, valid_loss):
                best = candidate
            elif stopping.exhausted(epoch):
                break
    best.history, best.rates, best.best_epoch = history, rates, stopping.best_epoch
    return best


def _outer_optimizer(episode: EpisodeLoss, joint: bool, config: Config) -> torch.optim.Adam:
    settings = config.meta_train
    model = episode.model
    groups = [{"params": list(model.selector.parameters()), "lr": settings.phi_learning_rate}]
    if joint:
        groups.append(
            {"params": list(model.base_models.parameters()), "lr": settings.theta_learning_rate}
        )
    if episode.adaptation.rule.learnable and len(episode.alpha):
        groups.append({"params": list(episode.alpha), "lr": settings.alpha_learning_rate})
    return torch.optim.Adam(groups)


def _describe(alpha: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    return [
        {
            "parameter": name,
            "mean": rate.mean().item(),
            "low": rate.min().item(),
            "high": rate.max().item(),
        }
        for name, rate in alpha.items()
    ]
