"""The outer loop: learn where adaptation starts (theta, phi) and how far it steps (alpha).

Queries must be out-of-sample for the base models, or the meta-learner overfits. So it learns
against *early* base models, on queries from the window after those were trained, and is validated
and used attached to *later* base models: phi and alpha carry over as they are, and theta as the
shift that the outer loop made to the early models' parameters.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from metaselector.adapt.engine import Adaptation, select_names
from metaselector.adapt.engines import make_engine
from metaselector.adapt.episode import EpisodeLoss
from metaselector.adapt.row_adam import RowAdam
from metaselector.adapt.rules import MAML, InnerRule
from metaselector.adapt.touched import rows_of_batch
from metaselector.config import AdaptConfig, Config, MetaTrainConfig
from metaselector.data.dataset import EncodedDataset
from metaselector.data.episodes import EpisodeRows, Episodes, load_episodes
from metaselector.data.protocol import EvaluationProtocol
from metaselector.data.protocols import make_protocol
from metaselector.data.schema import Schema
from metaselector.distributed import workers
from metaselector.distributed.communication import make_communication
from metaselector.distributed.data_parallel import DataParallel
from metaselector.distributed.wire import Traffic
from metaselector.errors import ConfigError, UserError
from metaselector.make_selector import make_selector
from metaselector.mixture import Mixture, make_loss
from metaselector.plugin_kinds import RULES
from metaselector.predict import predict_episodes
from metaselector.progress import Progress
from metaselector.training.clipping import clip_gradients
from metaselector.training.keeper import Keeper
from metaselector.training.loop import Plan, train
from metaselector.training.trainee import Judgement, Trainee
from metaselector.variants import Variant, kind_of, settings_of

PHI = "selector."
_ALPHA = "alpha."


@dataclass
class MetaLearned:
    """What the outer loop learned.

    Attributes:
        phi: parameters of the selector.
        shift: change of the base models' initial parameters, by their name in the mixture; empty
            where the base models are frozen.
        alpha: inner learning rates.
        history: per epoch ``epoch, train_loss, valid_loss`` (epoch 0 is before training) and
            ``seconds``, wall-clock time from the start of the training to the end of the epoch,
            with its validation.
        rates: per epoch and parameter ``epoch, parameter, mean, low, high``.
        best_epoch: the epoch these were taken from, by the loss on *valid*.
        seconds: wall-clock time of the training.
    """

    phi: dict[str, Tensor]
    shift: dict[str, Tensor]
    alpha: dict[str, Tensor]
    history: list[dict[str, Any]] = field(default_factory=list)
    rates: list[dict[str, Any]] = field(default_factory=list)
    best_epoch: int = 0
    seconds: float = 0.0

    @classmethod
    def of_tensors(cls, tensors: Mapping[str, Tensor], device: str) -> MetaLearned:
        """The inverse of :meth:`tensors`, on a device."""
        parts: dict[str, dict[str, Tensor]] = {"phi": {}, "shift": {}, "alpha": {}}
        for key, tensor in tensors.items():
            part, name = key.split("/", 1)
            parts[part][name] = tensor.to(device)
        return cls(parts["phi"], parts["shift"], parts["alpha"])

    def tensors(self) -> dict[str, Tensor]:
        """phi, shift and alpha, each as ``<part>/<name>``."""
        parts = {"phi": self.phi, "shift": self.shift, "alpha": self.alpha}
        return {f"{part}/{name}": t for part, of in parts.items() for name, t in of.items()}

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

    make = RULES.load(config.rule)
    if "granularity" not in inspect.signature(make).parameters:
        made: InnerRule = make(rate)
        return made
    if config.granularity == "scalar" and config.phi_rate != config.theta_rate:
        raise ConfigError(
            "adapt.granularity=scalar shares one rate: set adapt.phi_rate and adapt.theta_rate "
            f"to the same number (got {config.phi_rate} and {config.theta_rate})"
        )
    made = make(rate, granularity=config.granularity)
    return made


def make_adaptation(variant: Variant, mixture: Mixture, config: AdaptConfig) -> Adaptation:
    """What adapts: nothing (sample-selector), phi only (simplified), both (joint), or theta only
    (user-finetuned)."""
    kind, config = kind_of(variant), settings_of(variant, config)
    if kind == "user-finetuned":
        theta = tuple(n for n, _ in mixture.named_parameters() if not n.startswith(PHI))
        steps = config.finetune_steps if theta else 0  # base models that are scores have no theta
        return Adaptation(MAML(0.0, second_order=False), steps, theta)
    names = select_names(dict(mixture.named_parameters()), config.names)
    if kind != "metaselector":
        names = tuple(name for name in names if name.startswith(PHI))
    steps = 0 if kind == "sample-selector" else config.steps
    if steps and not names:
        raise ConfigError(f"adapt.names={list(config.names)} selects no parameter of the selector")
    return Adaptation(
        make_rule(config),
        steps,
        names if steps else (),
        half_lives=config.half_life_of_steps if steps else (),
        per_step=config.per_step,
        prior_rows=config.prior_rows,
    )


class HasSchema(Protocol):
    """Data, or what is left of it."""

    @property
    def schema(self) -> Schema:
        """What its ids mean."""


def make_mixture(
    base_models: Mapping[str, nn.Module], dataset: HasSchema, config: Config, seed: int
) -> Mixture:
    """The base models under a fresh selector, in evaluation mode."""
    selector = make_selector(config.selector, dataset.schema, len(base_models), seed)
    schema = dataset.schema
    scored = any(model.gives_scores for model in config.base_models.values())
    slots = schema.num_slots if scored else None  # scores stand behind these
    mixture = Mixture(base_models, selector, len(schema.tasks), slots)
    return mixture.to(config.device).eval()


def meta_train(
    variant: Variant,
    dataset: EncodedDataset,
    early: Mixture,
    later: Mixture,
    config: Config,
    generator: np.random.Generator,
    *,
    start_from: MetaLearned | None = None,
    description: str,
    progress: Progress,
    keeper: Keeper | None = None,
    traffic: Traffic | None = None,
) -> MetaLearned:
    """Meta-train one variant.

    Args:
        variant: ``sample-selector`` is the same network trained on the same queries without an
            inner loop; ``metaselector-simplified`` freezes theta, ``metaselector`` (joint) does
            not.
        early: mixture on base models trained on the early window; changed in place.
        later: mixture on base models trained on *train*, with which it is validated; restored.
        generator: draws users and cuts.
        start_from: what ``sample-selector`` learned, where phi then starts; untrained by default.
        description: what the progress bar calls it.
        keeper: where it goes on from, and keeps snapshots; nowhere by default.
        traffic: takes down what this worker sends, if it is one of several.

    Raises:
        UserError: no user has rows to learn from.
        Diverged: the loss of a step is infinite or no number.
    """
    if start_from is not None:
        start_from.attach(early)
    trainee = _Users(variant, dataset, early, later, config, generator, traffic)
    untrained = trainee.candidate()
    settings = config.meta_train
    plan = Plan(
        first=0,  # the untrained selector is a candidate like any other
        last=settings.epochs,
        steps=settings.epochs * trainee.batches,
        patience=settings.patience,
        advice="lower the rates of meta_train or adapt, or set meta_train.clip_norm or "
        "meta_train.rate_bounds",
    )
    found = train(trainee, plan, description=description, progress=progress, keeper=keeper)
    learned = MetaLearned.of_tensors(found.best or untrained, config.device)
    learned.history, learned.rates = found.position.history, found.position.rates
    learned.best_epoch, learned.seconds = found.best_epoch, found.position.seconds
    return learned


class _Users(Trainee):
    """A mixture that learns from users' episodes in random meta-batches; see :class:`Trainee`."""

    def __init__(
        self,
        variant: Variant,
        dataset: EncodedDataset,
        early: Mixture,
        later: Mixture,
        config: Config,
        generator: np.random.Generator,
        traffic: Traffic | None = None,
    ) -> None:
        self._config, self.generator, self._later = config, generator, later
        self._traffic = traffic
        self._mixture, self._joint = early, kind_of(variant) == "metaselector"
        self._adaptation = make_adaptation(variant, early, config.adapt)
        self._start = _copy(early)
        for mixture in (early, later):
            mixture.base_models.requires_grad_(self._joint)
        alpha = self._adaptation.initial_rates(self._start)
        loss = make_loss(dataset.schema.tasks, config.adapt.task_weights)
        engine = make_engine(config.adapt.engine)
        self._episode = EpisodeLoss(early, alpha, self._adaptation, engine, loss)
        settings = config.meta_train
        if variant == "sample-selector":
            rate = config.selector.learning_rate
            settings = settings.model_copy(update={"phi_learning_rate": rate})
        self.optimizers = outer_optimizers(early, self._episode, settings)
        self._protocol = make_protocol(dataset, config)
        self.batches = -(-len(self._protocol.learners) // settings.users_per_batch)
        self.torch_seed = int(generator.integers(2**31)) if config.adapt.inner_dropout else None
        self.parameters: dict[str, Tensor] = {
            name: p for name, p in early.named_parameters() if p.requires_grad
        }
        self.parameters |= {f"{_ALPHA}{name}": p for name, p in self._episode.rates.items()}
        self._last: EpisodeRows | None = None
        self._parallel = self._shared_out() if workers.count() > 1 else None

    def _shared_out(self) -> DataParallel:
        """Several workers, who each learn from some of a meta-batch's users."""
        learned = [p for p in self._episode.parameters() if p.requires_grad]
        ids = row_sparse_ids(self._mixture, self._episode)
        tables = [p for p in learned if id(p) in ids]
        others = [p for p in learned if id(p) not in ids]
        way = make_communication(self._config.meta_train.comm, tables, others, self._traffic)
        self._episode.row_sparse = way.row_sparse
        if self.torch_seed is not None:
            self.torch_seed += workers.rank()  # other masks of dropout on every worker

        def call(chunk: Episodes, scale: float) -> Tensor:
            loss: Tensor = self._episode(chunk) * scale
            return loss

        return DataParallel([self._episode], tables if way.row_sparse else (), call, way)

    def begin(self, epoch: int) -> Sequence[NDArray[np.int64]]:
        if epoch == 0:
            return ()
        self._mixture.train(self._config.adapt.inner_dropout)
        order = self.generator.permutation(self._protocol.learners)
        return np.array_split(order, self.batches)

    def gradients(self, piece: NDArray[np.int64], epoch: int) -> float | None:
        self._last = rows = self._protocol.sample(piece, self.generator)
        if not len(rows.users):  # users with few rows may have none in the window
            return None
        self._episode.zero_grad(set_to_none=True)
        users_at_once = self._config.adapt.max_users_per_chunk
        if self._parallel is not None:
            return self._share_gradients(self._parallel, rows, users_at_once)
        return self._episode.accumulate_gradients(self._load(rows), users_at_once)

    def _share_gradients(
        self, parallel: DataParallel, rows: EpisodeRows, users_at_once: int
    ) -> float:
        """The same of this worker's part of the users; the loss and gradients are those of all."""
        own = np.arange(len(rows.users))[workers.share(len(rows.users))]
        part = rows.some(own if len(own) else np.zeros(1, dtype=np.int64))
        whole = float((rows.query >= 0).sum()) / workers.count()
        passes = [
            # Who has no users takes part for nothing.
            (chunk, chunk.query.mask.sum().item() / whole if len(own) else 0.0)
            for chunk in self._load(part).split(users_at_once)
        ]
        found = parallel.backward(passes)
        if not parallel.communication.row_sparse:
            self._sparsify(parallel, rows)
        return float(workers.summed(np.array([found]))[0]) / workers.count()

    def _sparsify(self, parallel: DataParallel, rows: EpisodeRows) -> None:
        """Leave of the tables' dense gradients the rows that the whole meta-batch touches."""
        touched = rows_of_batch(self._load(rows)).rows
        for table in parallel.communication.tables:
            assert table.grad is not None
            values = table.grad.index_select(0, touched)
            table.grad = torch.sparse_coo_tensor(
                touched[None], values, table.shape, is_coalesced=True, check_invariants=False
            )

    def update(self) -> None:
        settings = self._config.meta_train
        if settings.clip_norm is not None:
            clip_gradients(self.parameters.values(), settings.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        if settings.rate_bounds is not None and self._adaptation.rule.learnable:
            with torch.no_grad():
                for rate in self._episode.rates.values():
                    rate.clamp_(*settings.rate_bounds)
        if self._parallel is not None:
            self._parallel.communication.after_update()

    @property
    def in_step(self) -> bool:
        return self._parallel is None or self._parallel.communication.in_step

    def settle(self) -> None:
        if self._parallel is not None:
            self._parallel.communication.settle()

    def shared_state(self) -> dict[str, Tensor]:
        return {} if self._parallel is None else self._parallel.communication.state()

    def load_shared_state(self, state: Mapping[str, Tensor]) -> None:
        if self._parallel is not None:
            self._parallel.communication.load(state)

    def judge(self, epoch: int, seconds: float, train_loss: float | None) -> Judgement:
        self.settle()
        self._mixture.eval()
        if epoch and train_loss is None:
            raise UserError(self._protocol.nothing_to_learn)
        candidate = self.candidate()
        learned = MetaLearned.of_tensors(candidate, self._config.device)
        lost = valid_loss(learned, self._later, self._adaptation, self._protocol)
        rates = [{"epoch": epoch, **row} for row in _describe(learned.alpha)]
        return Judgement(lost, {"seconds": seconds}, rates)

    def candidate(self) -> dict[str, Tensor]:
        now, start = _copy(self._mixture), self._start
        phi = {name: p for name, p in now.items() if name.startswith(PHI)}
        shift = {n: p - start[n] for n, p in now.items() if self._joint and not n.startswith(PHI)}
        alpha = {name: rate.detach().clone() for name, rate in self._episode.rates.items()}
        return MetaLearned(phi, shift, alpha).tensors()

    def users(self, piece: NDArray[np.int64]) -> list[str]:
        names = self._protocol.dataset.user_names
        return [names[user] for user in dict.fromkeys(piece.tolist())]

    @torch.no_grad()
    def offenders(self, piece: NDArray[np.int64]) -> list[str]:
        rows = self._last
        assert rows is not None  # gradients() of this piece came before
        alone = self._load(rows).split(1)
        bad = [not math.isfinite(self._episode(episode).item()) for episode in alone]
        return self.users(rows.users[bad])

    def group_of(self, name: str) -> str:
        if name.startswith(_ALPHA):
            return "the inner learning rates (alpha)"
        return (
            "the selector (phi)" if name.startswith(PHI) else f"base model '{name.split('.')[1]}'"
        )

    def _load(self, rows: EpisodeRows) -> Episodes:
        return load_episodes(self._protocol.dataset, rows).to(self._config.device)


def valid_loss(
    candidate: MetaLearned, mixture: Mixture, adaptation: Adaptation, protocol: EvaluationProtocol
) -> float:
    """Mean logloss of the queries of *valid*, averaged over the protocol's tables.

    Args:
        candidate: what to attach.
        mixture: on base models trained on *train*; restored.
    """
    before = _copy(mixture)
    candidate.attach(mixture)
    adapt = protocol.config.adapt
    losses = [
        predict_episodes(
            mixture, candidate.alpha, adaptation, protocol.dataset, exam.valid, adapt
        ).loss()
        for exam in protocol.exams
    ]
    with torch.no_grad():
        for name, parameter in mixture.named_parameters():
            parameter.copy_(before[name])
    return float(np.mean(losses))


def _copy(mixture: Mixture) -> dict[str, Tensor]:
    return {name: p.detach().clone() for name, p in mixture.named_parameters()}


def row_sparse_ids(mixture: Mixture, episode: EpisodeLoss) -> set[int]:
    """``id`` of the tables, and of rates with a row for each of a table's."""
    tables = {name: p for name, p in mixture.named_parameters() if name in mixture.tables}
    return {id(p) for p in tables.values()} | {
        id(rate)
        for name, rate in episode.rates.items()
        if name in tables and rate.shape == tables[name].shape
    }


def outer_optimizers(
    mixture: Mixture, episode: EpisodeLoss, config: MetaTrainConfig
) -> list[torch.optim.Optimizer]:
    """Adam, with a rate each for phi, theta if it is not frozen, and alpha if it is learned.

    For the embedding tables it is :class:`RowAdam`, which leaves rows alone that the meta-batch
    does not touch. The other parameters of phi decay where ``weight_decay`` asks for it, decoupled
    from the gradient (AdamW: Loshchilov and Hutter, ICLR 2019, Algorithm 2); nothing else does.
    """
    row_sparse = row_sparse_ids(mixture, episode)
    dense: list[dict[str, Any]] = []
    sparse: list[dict[str, Any]] = []
    for module, rate, decay in (
        (mixture.selector, config.phi_learning_rate, config.weight_decay),
        (mixture.base_models, config.theta_learning_rate, 0.0),
        (episode.alpha, config.alpha_learning_rate, 0.0),
    ):
        learned = [p for p in module.parameters() if p.requires_grad]
        own = [p for p in learned if id(p) not in row_sparse]
        dense.append({"params": own, "lr": rate, "weight_decay": decay})
        sparse.append({"params": [p for p in learned if id(p) in row_sparse], "lr": rate})
    adam = torch.optim.AdamW if config.weight_decay else torch.optim.Adam
    return [
        optimizer([group for group in groups if group["params"]])
        for optimizer, groups in ((partial(adam, fused=True), dense), (RowAdam, sparse))
        if any(group["params"] for group in groups)
    ]


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
