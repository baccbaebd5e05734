"""The outer loop: learn where adaptation starts (theta, phi) and how far it steps (alpha)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from metaselector.common.errors import UserError
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.episodes import EpisodeRows, Episodes, load_episodes
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import Tensors
from metaselector.meta.adapt.touched import rows_of_batch
from metaselector.meta.adapted import valid_loss
from metaselector.meta.averaging import AVERAGE, MovingAverage
from metaselector.meta.memory import RunsOnce
from metaselector.meta.optimizers import outer_optimizers, row_sparse_ids
from metaselector.meta.parameters import PHI, MetaParameters, parameters_of
from metaselector.meta.variants import Variant, config_of, kind_of, make_adaptation
from metaselector.models.kernels.rows import is_elsewhere
from metaselector.models.losses import make_loss
from metaselector.models.mixture import Mixture
from metaselector.training.distributed import workers
from metaselector.training.distributed.communication import make_communication
from metaselector.training.distributed.data_parallel import DataParallel
from metaselector.training.distributed.wire import Traffic
from metaselector.training.loop.clipping import clip_gradients
from metaselector.training.loop.trainable import Trainable, ValidationResult

if TYPE_CHECKING:
    from metaselector.training.distributed.sharded.gradients import Averaging

_ALPHA = "alpha."
LONG = 5000
"""Meta-batches of a training whose steps are recorded, which pays off after about a thousand."""


class MetaLearner(Trainable):
    """Meta-trains a mixture on random meta-batches of users; see :class:`Trainable`.

    Args:
        alpha: what is given instead of learned, by name.
        splits: what to validate on, by default all of the protocol.
    """

    def __init__(
        self,
        variant: Variant,
        dataset: EncodedDataset,
        early: Mixture,
        later: Mixture,
        config: Config,
        generator: np.random.Generator,
        traffic: Traffic | None = None,
        alpha: Tensors | None = None,
        splits: Sequence[EvaluationSplit] = (),
    ) -> None:
        config = config_of(variant, config)
        self._config, self.generator, self._later = config, generator, later
        self._splits = splits
        self._traffic = traffic
        self._mixture, self._joint = early, kind_of(variant) == "metaselector"
        self._adaptation = make_adaptation(variant, early, config, alpha)
        self._start = parameters_of(early)
        settings, residuals_only = config.meta_train, variant == "user-finetuned-residuals"
        for mixture in (early, later):
            mixture.base_models.requires_grad_(self._joint and settings.outer_lr_theta > 0)
            mixture.selector.requires_grad_(settings.outer_lr_phi > 0 and not residuals_only)
        alpha = self._adaptation.initial_rates(self._start) | dict(alpha or {})
        loss = make_loss(dataset.schema.tasks, config.adapt.task_weights)
        self._protocol = make_protocol(dataset, config)
        self.batches = -(-len(self._protocol.learners) // settings.users_per_batch)
        engine = make_engine(config.adapt.engine)
        if self.batches * settings.epochs >= LONG:
            engine = engine.recording()
        self._episode = EpisodeLoss(
            early,
            alpha,
            self._adaptation,
            engine,
            loss,
            keep_sign=settings.keep_sign,
            residuals_only=residuals_only,
        )
        self.optimizers = outer_optimizers(early, self._episode, settings)
        self.torch_seed = int(generator.integers(2**31)) if config.adapt.inner_dropout else None
        self.parameters: dict[str, Tensor] = {
            name: p for name, p in early.named_parameters() if p.requires_grad
        }
        self.parameters |= {
            f"{_ALPHA}{name}": p for name, p in self._episode.learned.items() if p.requires_grad
        }
        self._average = MovingAverage(self.parameters, settings.averaging)
        self.parameters |= self._average.tensors
        self._last: EpisodeRows | None = None
        self._parallel: DataParallel | None = None
        self._averaging: Averaging | None = None
        if tables := [p for p in self._episode.parameters() if is_elsewhere(p)]:
            from metaselector.training.distributed.sharded.gradients import Averaging  # slow

            self._seed_masks()
            self._averaging = Averaging(self._episode.parameters(), tables)
        elif workers.count() > 1:
            self._parallel = self._shared_out()
        # Ids of sharded tables count from 0 in every chunk, which does not tell users apart.
        self._validates = RunsOnce(engine) if residuals_only and not tables else engine

    def _seed_masks(self) -> None:
        """Draw other masks of dropout on every worker."""
        if self.torch_seed is not None:
            self.torch_seed += workers.rank()

    def _shared_out(self) -> DataParallel:
        """Share each meta-batch between several workers."""
        learned = [p for p in self._episode.parameters() if p.requires_grad]
        ids = row_sparse_ids(self._mixture, self._episode)
        tables = [p for p in learned if id(p) in ids]
        others = [p for p in learned if id(p) not in ids]
        way = make_communication(self._config.meta_train.comm, tables, others, self._traffic)
        self._episode.row_sparse = way.row_sparse
        self._seed_masks()

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

    def gradients(self, batch: NDArray[np.int64], epoch: int) -> float | None:
        self._last = rows = self._protocol.sample(batch, self.generator)
        if not len(rows.users):  # users with few rows may have no query in the window
            return None
        self._episode.zero_grad(set_to_none=True)
        users_at_once = self._config.adapt.max_users_per_chunk
        if self._averaging is not None:
            return self._share_sharded(self._averaging, rows, users_at_once)
        if self._parallel is not None:
            return self._share_gradients(self._parallel, rows, users_at_once)
        return self._episode.accumulate_gradients(self._load(rows), users_at_once)

    def _share_gradients(
        self, parallel: DataParallel, rows: EpisodeRows, users_at_once: int
    ) -> float:
        """Gradients from this worker's users; loss and gradients are averaged over all users."""
        own = np.arange(len(rows.users))[workers.share(len(rows.users))]
        part = rows.some(own if len(own) else np.zeros(1, dtype=np.int64))
        whole = float((rows.query >= 0).sum()) / workers.count()
        passes = [
            # A worker without users takes part with weight 0.
            (chunk, chunk.query.mask.sum().item() / whole if len(own) else 0.0)
            for chunk in self._load(part).split(users_at_once)
        ]
        found = parallel.backward(passes)
        if not parallel.communication.row_sparse:
            self._sparsify(parallel, rows)
        return found

    def _share_sharded(self, averaging: Averaging, rows: EpisodeRows, users_at_once: int) -> float:
        """The same with sharded tables: one exchange of rows, however many users adapt at once."""
        own, loss = np.arange(len(rows.users))[workers.share(len(rows.users))], 0.0
        if len(own):
            episodes = self._load(rows.some(own))
            whole = float((rows.query >= 0).sum()) / workers.count()
            weight = episodes.query.mask.sum().item() / whole
            loss = weight * self._episode.accumulate_gradients(episodes, users_at_once, weight)
        else:
            self._episode.join_empty()
        return averaging.average(loss)

    def _sparsify(self, parallel: DataParallel, rows: EpisodeRows) -> None:
        """Keep only those rows of the tables' dense gradients that the meta-batch touches."""
        touched = rows_of_batch(self._load(rows)).rows
        for table in parallel.communication.tables:
            assert table.grad is not None
            values = table.grad.index_select(0, touched)
            table.grad = torch.sparse_coo_tensor(
                touched[None], values, table.shape, is_coalesced=True, check_invariants=False
            )

    def update(self) -> None:
        settings = self._config.meta_train
        if settings.clip_norm is not None and self._averaging is not None:
            self._averaging.clip(settings.clip_norm)
        elif settings.clip_norm is not None:
            clip_gradients(self.parameters.values(), settings.clip_norm)
        for optimizer in self.optimizers:
            optimizer.step()
        if settings.rate_bounds is not None and self._adaptation.rule.learnable:
            self._episode.clamp_rates(*settings.rate_bounds)
        if self._parallel is not None:
            self._parallel.communication.after_update()
        self._average.update()

    @property
    def in_step(self) -> bool:
        return self._parallel is None or self._parallel.communication.in_step

    def synchronize(self) -> None:
        if self._parallel is not None:
            self._parallel.communication.synchronize()
            self._average.synchronize()

    def shared_state(self) -> dict[str, Tensor]:
        return {} if self._parallel is None else self._parallel.communication.state()

    def load_shared_state(self, state: Mapping[str, Tensor]) -> None:
        if self._parallel is not None:
            self._parallel.communication.load(state)

    def validate(self, epoch: int, seconds: float, train_loss: float | None) -> ValidationResult:
        self._mixture.eval()
        if epoch and train_loss is None:
            raise UserError(self._protocol.nothing_to_learn)
        candidate = self.candidate()
        learned = MetaParameters.of_tensors(candidate, self._config.device)
        lost = valid_loss(
            learned,
            self._later,
            self._adaptation,
            self._protocol,
            self._splits,
            engine=self._validates,
        )
        rates = [{"epoch": epoch, **row} for row in _describe(learned.alpha)]
        return ValidationResult(lost, {"seconds": seconds}, rates)

    def candidate(self) -> dict[str, Tensor]:
        now, start = parameters_of(self._mixture), self._start
        learned = self._average.values
        phi = {n: learned.get(n, p).clone() for n, p in now.items() if n.startswith(PHI)}
        theta_delta = {
            n: p - start[n] for n, p in learned.items() if n in now and not n.startswith(PHI)
        }
        raw = {name: learned.get(f"{_ALPHA}{name}", p) for name, p in self._episode.learned.items()}
        alpha = {name: rate.clone() for name, rate in self._episode.values(raw).items()}
        return MetaParameters(phi, theta_delta, alpha).tensors()

    def users(self, batch: NDArray[np.int64]) -> list[str]:
        names = self._protocol.dataset.user_names
        return [names[user] for user in dict.fromkeys(batch.tolist())]

    @torch.no_grad()
    def nonfinite_users(self, batch: NDArray[np.int64]) -> list[str]:
        rows = self._last
        assert rows is not None  # gradients() ran on this batch before
        alone = self._load(rows).split(1)
        bad = [not math.isfinite(self._episode(episode).item()) for episode in alone]
        return self.users(rows.users[bad])

    def group_of(self, name: str) -> str:
        name = name.removeprefix(AVERAGE)
        if name.startswith(_ALPHA):
            return "the inner learning rates (alpha)"
        return (
            "the selector (phi)" if name.startswith(PHI) else f"base model '{name.split('.')[1]}'"
        )

    def _load(self, rows: EpisodeRows) -> Episodes:
        similarity = self._mixture.similarity if self._adaptation.residuals else None
        return load_episodes(self._protocol.dataset, rows, similarity).to(self._config.device)


def _describe(alpha: Mapping[str, Tensor]) -> list[dict[str, Any]]:
    return [
        {"parameter": name, **dict(zip(("mean", "low", "high"), _ends(rate), strict=True))}
        for name, rate in alpha.items()
    ]


def _ends(rate: Tensor) -> tuple[float, float, float]:
    """Mean, minimum and maximum."""
    if not is_elsewhere(rate):
        return rate.mean().item(), rate.min().item(), rate.max().item()
    from metaselector.training.distributed.sharded.rows import mean_low_high  # slow to import

    return mean_low_high(rate)  # type: ignore[arg-type]
