"""A trained mixture that adapts to users, predicts their next rows and shows its inner steps."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray

from metaselector.config import AdaptConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import EpisodeRows, Episodes, load_episodes
from metaselector.data.splitting.protocol import EvaluationProtocol, EvaluationSplit
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.contract import Engine, InnerLoop
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.rules import Tensors
from metaselector.meta.adapt.touched import rows_of_batch
from metaselector.meta.inner_steps import InnerSteps, inner_steps, with_support_in_query
from metaselector.meta.memory import Memory
from metaselector.meta.parameters import MetaParameters, parameters_of
from metaselector.models.kernels.rows import is_elsewhere, take_tables
from metaselector.models.losses import MeanLoss, make_loss
from metaselector.models.mixture import Mixture, MixtureOutput
from metaselector.training.distributed import workers


class WindowPredictions(NamedTuple):
    """Predictions for the query rows of episodes, in the order of the data set.

    Attributes:
        rows: int64 ``[n]``, positions in the data set.
        probabilities: float64 ``[n]``, or ``[n, T]`` with several tasks.
        weights: float32 ``[n, K]`` or ``[n, K, T]``.
        losses: float64 ``[n]``, in nats: the logloss of each row, or the weighted sum over its
            observed tasks.
    """

    rows: NDArray[np.int64]
    probabilities: NDArray[np.float64]
    weights: NDArray[np.float32]
    losses: NDArray[np.float64]

    def loss(self) -> float:
        """Mean over all rows."""
        return float(self.losses.mean())


@dataclass(frozen=True)
class AdaptedModel:
    """A mixture that adapts to each user on their support before it predicts their query.

    Attributes:
        mixture: the base models under the selector, with the initial parameters.
        alpha: the inner learning rates, by name.
        adaptation: what the inner loop does.
        loss: mean loss of a user's rows.
        engine: what runs the inner loop.
        users_at_once: how many users of :meth:`predict` share a chunk.
    """

    mixture: Mixture
    alpha: Tensors
    adaptation: Adaptation
    loss: MeanLoss
    engine: Engine
    users_at_once: int

    @classmethod
    def of_settings(
        cls,
        mixture: Mixture,
        alpha: Tensors,
        adaptation: Adaptation,
        tasks: Sequence[str],
        config: AdaptConfig,
    ) -> Self:
        """The model with the engine, loss and chunk size that the settings name.

        Raises:
            ConfigError: there is no such engine.
            UserError: the engine's library is not installed.
        """
        loss = make_loss(tasks, config.task_weights)
        engine = make_engine(config.engine)
        return cls(mixture, alpha, adaptation, loss, engine, config.max_users_per_chunk)

    def with_steps(self, steps: int) -> Self:
        """The same model with another number of inner steps; see :meth:`Adaptation.with_steps`."""
        return replace(self, adaptation=self.adaptation.with_steps(steps))

    @torch.no_grad()
    def predict(
        self, dataset: EncodedDataset, episodes: EpisodeRows, memory: Memory | None = None
    ) -> WindowPredictions:
        """Adapt each user on the support, then predict the query.

        Several workers share the users, and all of them must call it.

        Args:
            memory: where to keep what the users adapt to, and to look for what they adapted to.
        """
        device = next(self.mixture.parameters()).device
        similarity = self.mixture.similarity if self.adaptation.residuals else None
        if similarity is not None:
            _ = similarity.names  # may be built now, which takes all workers
        sizes = [(rows >= 0).sum(axis=1) for rows in (episodes.query, episodes.support)]
        order = np.lexsort(sizes)  # less padding, if a chunk has supports of similar sizes
        # Parts kept one by one, between temporary tensors, would leave holes in memory.
        found = _zeros(int(sizes[0].sum()), self.mixture, len(dataset.schema.tasks))
        starts, end = range(0, len(order), self.users_at_once), 0
        for number, i in enumerate(starts):
            rows = episodes.some(order[i : i + self.users_at_once])
            of_query = rows.query[rows.query >= 0]
            place = slice(end, end + len(of_query))
            found.rows[place], end = of_query, place.stop
            if number % workers.count() == workers.rank():
                batch = load_episodes(dataset, rows, similarity).to(device)
                output = self.output(batch, memory)
                part = _unpad(output, self.loss.rows(output, batch.query.labels), rows.query)
                found.probabilities[place] = part.probabilities
                found.weights[place], found.losses[place] = part.weights, part.losses
        if workers.left_over(len(starts)):
            self._take(torch.zeros(0, dtype=torch.int64, device=device))  # others need rows
        by_row = np.argsort(found.rows)
        # Predictions of other workers are 0 here, and a sum with zeros is exact.
        return WindowPredictions(
            found.rows[by_row],
            workers.summed(found.probabilities[by_row]),
            workers.summed(found.weights[by_row]),
            workers.summed(found.losses[by_row]),
        )

    @torch.no_grad()
    def output(self, episodes: Episodes, memory: Memory | None = None) -> MixtureOutput:
        """Adapt all users at once and return the outputs on the query, ``[U, Q, ...]``.

        Args:
            memory: as for :meth:`predict`.
        """
        loop = self._loop(episodes)
        output: MixtureOutput = (
            self.engine(*loop) if memory is None else memory.output(self.engine, loop)
        )
        return output

    @torch.no_grad()
    def trace(self, episodes: Episodes) -> InnerSteps:
        """What each inner step does to the users; all adapt at once, in one pass of the loop."""
        steps = self.engine.steps(self._loop(with_support_in_query(episodes)))
        return inner_steps(self.mixture, steps, episodes, self.loss)

    def _loop(self, episodes: Episodes) -> InnerLoop:
        params: dict[str, torch.Tensor] = dict(self.mixture.named_parameters())
        alpha = dict(self.alpha)
        if any(is_elsewhere(p) for p in params.values()):
            rows, episodes = rows_of_batch(episodes)
            for (of_rates, name), taken in self._take(rows).items():
                (alpha if of_rates else params)[name] = taken
        return InnerLoop(self.mixture, params, alpha, self.adaptation, episodes, self.loss)

    def _take(self, rows: torch.Tensor) -> dict[tuple[bool, str], torch.Tensor]:
        """Rows of all tables that are elsewhere, and of the rates like them, in one exchange.

        By whether they are of rates, and by name.
        """
        every: dict[tuple[bool, str], torch.Tensor] = {}
        every |= {(False, name): p for name, p in self.mixture.named_parameters()}
        every |= {(True, name): rate for name, rate in self.alpha.items()}
        named = {str(key): table for key, table in every.items() if is_elsewhere(table)}
        taken = take_tables(named, rows)
        return {key: taken[str(key)] for key in every if str(key) in taken}


def _zeros(n: int, mixture: Mixture, tasks: int) -> WindowPredictions:
    """Zeros in place of the predictions for `n` rows."""
    of_row = () if tasks == 1 else (tasks,)
    dtype = next(mixture.selector.parameters()).dtype
    weights = torch.zeros(n, len(mixture.base_models), *of_row, dtype=dtype).numpy()
    return WindowPredictions(
        np.zeros(n, dtype=np.int64), np.zeros((n, *of_row)), weights, np.zeros(n)
    )


def _unpad(
    output: MixtureOutput, losses: torch.Tensor, query: NDArray[np.int64]
) -> WindowPredictions:
    present = query >= 0
    return WindowPredictions(
        query[present],
        output.log_positive.exp().double().cpu().numpy()[present],
        output.weights.cpu().numpy()[present],
        losses.double().cpu().numpy()[present],
    )


def valid_loss(
    candidate: MetaParameters,
    mixture: Mixture,
    adaptation: Adaptation,
    protocol: EvaluationProtocol,
    splits: Sequence[EvaluationSplit] = (),
    *,
    engine: Engine | None = None,
) -> float:
    """Mean logloss of the queries of *valid*, averaged over the evaluation splits.

    Args:
        candidate: parameters to attach to the mixture.
        mixture: on base models trained on *train*; restored afterwards.
        splits: the evaluation splits to average over, by default all.
        engine: runs the inner loops, by default that of the settings.
    """
    found = [
        valid_predictions(candidate, mixture, adaptation, protocol, split, engine=engine).loss()
        for split in splits or protocol.evaluation_splits
    ]
    return float(np.mean(found))


def valid_predictions(
    candidate: MetaParameters,
    mixture: Mixture,
    adaptation: Adaptation,
    protocol: EvaluationProtocol,
    split: EvaluationSplit,
    *,
    engine: Engine | None = None,
) -> WindowPredictions:
    """Predictions for *valid* in one evaluation split; the arguments are those of `valid_loss`."""
    before = parameters_of(mixture)
    candidate.attach(mixture)
    tasks, config = protocol.dataset.schema.tasks, protocol.config.adapt
    model = AdaptedModel.of_settings(mixture, candidate.alpha, adaptation, tasks, config)
    model = model if engine is None else replace(model, engine=engine)
    found = model.predict(protocol.dataset, split.valid)
    with torch.no_grad():
        for name, parameter in mixture.named_parameters():
            parameter.copy_(before[name])
    return found
