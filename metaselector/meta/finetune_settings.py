"""The settings of the fair rival, and the search for those with the lowest loss."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metaselector.meta.adapt.adaptation import HALF_LIFE, LONG, PRIOR_ROWS, TIME_DECAY
from metaselector.meta.parameters import PHI
from metaselector.models.mixture import Mixture


class Choice(NamedTuple):
    """The settings of the fair rival.

    Attributes:
        steps: gradient steps.
        tables, others, selector: learning rates of the base models' embedding tables, of their
            other parameters, and of the selector.
        half_life, time_decay: how many later rows halve the weight of a support row, and the
            exponent of the decay with the hours before the first query row, in all steps but the
            last.
        last_half_life, last_time_decay: of the last step.
        prior_rows: see :class:`~metaselector.meta.adapt.adaptation.Adaptation`.
    """

    steps: float = 2
    tables: float = 0.3
    others: float = 0.1
    selector: float = 0.3
    half_life: float = 10.0
    time_decay: float = 0.1
    last_half_life: float = 5.0
    last_time_decay: float = 2.0
    prior_rows: float = 3.0

    def alpha(self, mixture: Mixture) -> dict[str, Tensor]:
        """What the inner loop is given for these settings, by name, each ``[steps]``."""
        device, steps = next(mixture.parameters()).device, int(self.steps)
        given = {name: self._rate(name, mixture) for name, _ in mixture.named_parameters()}
        given |= {PRIOR_ROWS: self.prior_rows}
        found = {name: torch.full([steps], value, device=device) for name, value in given.items()}
        for name, value, last in (
            (HALF_LIFE, self.half_life, self.last_half_life),
            (TIME_DECAY, self.time_decay, self.last_time_decay),
        ):
            found[name] = torch.tensor([value] * (steps - 1) + [last], device=device)
        return found

    def _rate(self, name: str, mixture: Mixture) -> float:
        if name.startswith(PHI):
            return self.selector
        return self.tables if name in mixture.tables else self.others

    @classmethod
    def of_alpha(cls, alpha: Mapping[str, Tensor], mixture: Mixture) -> Choice:
        """The settings behind :meth:`alpha`."""
        parts: dict[str, Any] = {"steps": len(alpha[HALF_LIFE])}
        for name, rate in alpha.items():
            if name.startswith(PHI):
                parts["selector"] = rate[0].item()
            elif name in mixture.tables:
                parts["tables"] = rate[0].item()
            elif name.startswith("base_models."):
                parts["others"] = rate[0].item()
        for key, name in (("half_life", HALF_LIFE), ("time_decay", TIME_DECAY)):
            parts |= {key: alpha[name][0].item(), f"last_{key}": alpha[name][-1].item()}
        return cls(**parts, prior_rows=alpha[PRIOR_ROWS][0].item())


_HALF_LIVES = (0.125, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 40.0, 100.0, LONG)
_DECAYS = (0.0, 0.1, 0.25, 0.5, *(2.0**n for n in range(10)), 2048.0, 8192.0, 32768.0)
_RATES = (0.0, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
LADDERS = Choice(
    steps=(1, 2, 3, 5, 8, 13, 20, 30, 50, 80, 130),  # type: ignore[arg-type]
    tables=_RATES,  # type: ignore[arg-type]
    others=_RATES,  # type: ignore[arg-type]
    selector=_RATES,  # type: ignore[arg-type]
    half_life=_HALF_LIVES,  # type: ignore[arg-type]
    time_decay=_DECAYS,  # type: ignore[arg-type]
    last_half_life=_HALF_LIVES,  # type: ignore[arg-type]
    last_time_decay=_DECAYS,  # type: ignore[arg-type]
    prior_rows=(0.0, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0),  # type: ignore[arg-type]
)
"""The values to choose from.

``rivals.csv`` says where one at the end was chosen, so that a longer ladder might be better.
"""


class Search:
    """Climbs down from a choice, one setting and one value at a time.

    Args:
        loss: of a choice; no choice is asked for twice.
        start: where to begin.

    Attributes:
        best: the choice with the lowest loss so far.
    """

    def __init__(self, loss: Callable[[Choice], float], start: Choice) -> None:
        self.best = start
        self._loss = loss
        self._known: dict[Choice, float] = {}

    def go(self, passes: int) -> float:
        """Look at all settings in turn, at most `passes` times and until nothing helps.

        Returns:
            the lowest loss.
        """
        for _ in range(passes):
            before = self.best
            for field, ladder in LADDERS._asdict().items():
                self._climb(field, ladder, 1) or self._climb(field, ladder, -1)
            if self.best == before:
                break
        return self._of(self.best)

    def _climb(self, field: str, ladder: Sequence[float], direction: int) -> bool:
        """Move one setting as long as that helps; returns whether it did."""
        before = self.best
        while True:
            place = ladder.index(getattr(self.best, field)) + direction
            if not 0 <= place < len(ladder):
                break
            candidate = self.best._replace(**{field: ladder[place]})
            if self._of(candidate) >= self._of(self.best):
                break
            self.best = candidate
        return self.best != before

    def _of(self, choice: Choice) -> float:
        if choice not in self._known:
            self._known[choice] = self._loss(choice)
        return self._known[choice]
