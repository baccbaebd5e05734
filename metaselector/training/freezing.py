"""Parameters that training leaves alone, for good or for some epochs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase

from torch import nn

from metaselector.common.errors import ConfigError, nearest


class Freezing:
    """Which parameters of one base model are trained in which epoch.

    The first epochs leave every pattern's parameters alone. After every `every` epochs one more
    pattern thaws, the last one first: of k patterns, pattern k is trained from epoch ``every + 1``
    on, pattern k - 1 from ``2 every + 1`` on, and the first from ``k every + 1`` on. A parameter
    that several patterns match waits for the last of them. So patterns are given from what reads
    the input to what is nearest to the prediction. Source: gradual unfreezing of Howard and Ruder,
    "Universal Language Model Fine-tuning for Text Classification", ACL 2018, section 3.3, who thaw
    a layer an epoch.

    Args:
        model: the base model's name.
        parameters: its parameters by name.
        patterns: shell-style, over ``<base model>.<parameter>``; those that match none are of
            other base models.
        every: epochs; None never thaws.

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
        """The epoch from which on everything that will thaw is trained."""
        for name, parameter in parameters.items():
            matching = [
                i for i, p in enumerate(patterns) if fnmatchcase(f"{model}.{name}", p)
            ]  # the least one thaws last
            if not matching:
                continue
            until = None if every is None else every * (len(patterns) - matching[0]) + 1
            self._until.append((parameter, until))
            self.thawed = max(self.thawed, until or 1)
        if parameters and len(self._until) == len(parameters):
            raise ConfigError(
                f"transfer.freeze={list(patterns)} leaves nothing of base model '{model}' to "
                "train; leave a parameter out"
            )

    def begin(self, epoch: int) -> None:
        """Let autograd see what is trained in `epoch`, and nothing else; the first one is 1."""
        for parameter, until in self._until:
            parameter.requires_grad_(until is not None and epoch >= until)

    def end(self) -> None:
        """Leave every parameter as it was found."""
        for parameter, _ in self._until:
            parameter.requires_grad_(True)


def check_patterns(patterns: Sequence[str], names: Iterable[str]) -> None:
    """Raise a ConfigError for a pattern that matches none of `names`, with the nearest one."""
    names = list(names)
    for pattern in patterns:
        if not any(fnmatchcase(name, pattern) for name in names):
            raise ConfigError(
                f"transfer.freeze: pattern '{pattern}' matches no parameter; "
                + nearest(pattern, names)
            )
