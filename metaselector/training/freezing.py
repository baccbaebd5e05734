"""Freeze parameters of a base model, permanently or for the first epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from metaselector.common.errors import ConfigError, nearest


class Freezing:
    """Decides in which epochs each parameter of a base model is trained.

    Parameters that match a pattern start frozen. Every `every` epochs one more pattern is unfrozen,
    the last pattern first: of k patterns, pattern k is trained from epoch ``every + 1`` on, pattern
    k - 1 from ``2 every + 1`` on, and the first from ``k every + 1`` on. A parameter that matches
    several patterns stays frozen until all of them are unfrozen. List patterns in order from the
    input to the output. Source: gradual unfreezing, Howard and Ruder, "Universal Language Model
    Fine-tuning for Text Classification", ACL 2018, section 3.3, with one layer per epoch.

    Args:
        model: the base model's name.
        parameters: its parameters by name.
        patterns: shell-style, over ``<base model>.<parameter>``; patterns that match nothing here
            are for other base models.
        every: epochs between two patterns; None never unfreezes.

    Raises:
        ConfigError: no parameter is left to train in the first epoch.
    """

    def __init__(
        self,
        model: str,
        parameters: Mapping[str, nn.Parameter],
        patterns: Sequence[str],
        every: int | None,
    ) -> None:
        self._until: list[tuple[nn.Parameter, int | None]] = []
        self.thawed = 1
        """First epoch in which nothing is left to unfreeze."""
        for name, parameter in parameters.items():
            matching = [
                i for i, p in enumerate(patterns) if fnmatchcase(f"{model}.{name}", p)
            ]  # the lowest index is unfrozen last
            if not matching:
                continue
            until = None if every is None else every * (len(patterns) - matching[0]) + 1
            self._until.append((parameter, until))
            self.thawed = max(self.thawed, until or 1)
        if parameters and len(self._until) == len(parameters):
            raise ConfigError(
                f"transfer.freeze={list(patterns)} freezes every parameter of base model "
                f"'{model}'; leave at least one to train"
            )

    def begin(self, epoch: int) -> None:
        """Set ``requires_grad`` for `epoch`, counted from 1."""
        for parameter, until in self._until:
            parameter.requires_grad_(until is not None and epoch >= until)

    def end(self) -> None:
        """Unfreeze every parameter."""
        for parameter, _ in self._until:
            parameter.requires_grad_(True)


def check_patterns(patterns: Sequence[str], names: Iterable[str]) -> None:
    """Raise a ConfigError for a pattern that matches none of `names`; it suggests the nearest."""
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"transfer.freeze: pattern '{pattern}' matches no parameter; "
                + nearest(pattern, names)
            )
