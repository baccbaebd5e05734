"""The default engine: all users of a meta-batch at once, through torch.func."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import torch

from metaselector.data.splitting.episodes import Episodes
from metaselector.meta.adapt.contract import Engine, InnerLoop, Predictor, Step
from metaselector.meta.adapt.engines.factored import factorable
from metaselector.meta.adapt.engines.kept_steps import ContinuedBatch, KeptSteps
from metaselector.meta.adapt.engines.user_batch import Adapted, UserBatch
from metaselector.meta.adapt.rules import SHARED, is_plain
from metaselector.models.kernels.intercept import UnexpectedUse, has_private_names
from metaselector.models.kernels.replay import Recorder

T = TypeVar("T")


class FuncEngine(Engine):
    """Runs every rule.

    Args:
        recorder: records steps and predictions without gradients, if given.
        kept: where inner loops without gradients leave states to go on from, if given; only of what
            may be recorded.
    """

    def __init__(self, recorder: Recorder | None = None, kept: KeptSteps | None = None) -> None:
        self.recorder = recorder
        self.kept = kept

    def recording(self) -> FuncEngine:
        return FuncEngine(Recorder(), self.kept)

    def searching(self) -> FuncEngine:
        return FuncEngine(Recorder(), KeptSteps())

    def forget(self) -> None:
        if self.kept is not None:
            self.kept.clear()

    def run(self, loop: InnerLoop, *, every_step: bool) -> list[Step]:
        def take(users: UserBatch) -> list[Step]:
            if every_step:
                return [Step(users.predict(), users.squares()) for _ in users.steps()]
            users.adapt()
            return [Step(users.predict(), {})]

        if not every_step:
            return self._with_factored(loop, take)
        unadapted = loop._replace(adaptation=loop.adaptation.with_steps(0))
        return self.run(unadapted, every_step=False) + self._with_factored(loop, take)

    def with_unadapted(self, loop: InnerLoop) -> tuple[Any, Any]:
        if not loop.adaptation.steps:
            return super().with_unadapted(loop)

        def take(users: UserBatch) -> tuple[Any, Any]:
            users.adapt()
            return users.predict(), users.first  # the first step has predicted the support

        return self._with_factored(loop, take)

    @torch.no_grad()
    def after(self, loop: InnerLoop) -> Predictor:
        # Another rule might change rows of tables that no support row reads.
        if not is_plain(loop.adaptation.rule):
            return super().after(loop)
        support = loop.episodes.support

        def take(users: UserBatch) -> Predictor:
            users.adapt()
            return torch.no_grad()(users.predict_rows)

        return self._with_factored(loop._replace(episodes=Episodes(support, support)), take)

    def adapt(self, loop: InnerLoop) -> Adapted:
        """Run the inner loop only."""

        def adapt(users: UserBatch) -> Adapted:
            users.adapt()
            return users.adapted()

        return self._with_factored(loop, adapt)

    def _with_factored(self, loop: InnerLoop, run: Callable[[UserBatch], T]) -> T:
        """``run(users)``, where as many weights are factored as the model's use of them allows.

        Which do is found out by trying.
        """
        model, rates, adaptation = loop.model, loop.rates, loop.adaptation
        factored: set[str] = set()
        if is_plain(adaptation.rule) and has_private_names():
            rows = adaptation.steps * loop.episodes.support.labels.shape[1]
            factored = {
                name
                for name in factorable(model, rows).intersection(adaptation.names)
                if SHARED in rates or adaptation.per_step or rates[name].numel() == 1
            }
        while True:
            try:
                return run(self._batch(loop, factored))
            except UnexpectedUse as use:
                factored = factored - {use.name}

    def _batch(self, loop: InnerLoop, factored: set[str]) -> UserBatch:
        if self.kept is None:
            return UserBatch(loop, factored, self.recorder)
        return ContinuedBatch(loop, factored, self.recorder, self.kept)
