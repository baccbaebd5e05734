"""What a step costs on N workers: computing, waiting for messages, and moving bytes.

``time(N) = compute + latency * rounds(N) + slowdown * bytes(N) / bandwidth``, every worker with as
many users as in the measurement. Computing is time of the processor, with the short waits in which
it does not sleep; the rest is fitted to bare all-reduces, the fastest of several, since steps on a
busy machine mostly tell how busy it is.

Rings do the collectives: an all-reduce of n bytes takes ``2 (N - 1)`` rounds, in which every worker
sends ``2 (N - 1) / N n`` bytes; an all-gather of n bytes of every worker takes ``N - 1`` rounds and
``(N - 1) n`` bytes. Source of the former: Patarasuk and Yuan, "Bandwidth optimal all-reduce
algorithms", JPDC 2009.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from scipy.optimize import nnls

from metaselector.report.figures import style

SHOWN = (1, 2, 4, 8, 16, 32, 64)
BITS = 8


@dataclass(frozen=True)
class Load:
    """What one worker does in a step, on average.

    Attributes:
        compute: seconds of its processor.
        reduced: bytes of its tensors that are all-reduced.
        gathered: bytes of its tensors that are all-gathered.
        reduces, gathers: how many collectives of either kind.
        whole: bytes of the tables whose rows are gathered; all of them are all-reduced instead
            where that is less.
    """

    compute: float
    reduced: float
    gathered: float
    reduces: float
    gathers: float
    whole: float = math.inf

    def sent(self, workers: int) -> float:
        """Bytes that leave a worker."""
        n = workers
        rows = min((n - 1) * self.gathered, 2 * (n - 1) / n * self.whole)
        return 2 * (n - 1) / n * self.reduced + rows

    def rounds(self, workers: int) -> float:
        """Messages that a worker waits for, one after another."""
        n = workers
        return 2 * (n - 1) * self.reduces + (n - 1) * self.gathers


@dataclass(frozen=True)
class Measured:
    """Seconds that two workers took by a cable of so many bits a second; None: unlimited."""

    load: Load
    bandwidth: float | None
    seconds: float


@dataclass(frozen=True)
class Cost:
    """The fitted model.

    Attributes:
        latency: seconds a round.
        slowdown: of the bytes, what headers and a protocol add to ``bytes / bandwidth``.
    """

    latency: float
    slowdown: float

    def seconds(self, load: Load, workers: int, bandwidth: float) -> float:
        """Of a step, by a network of `bandwidth` bits a second for every worker."""
        if workers == 1:
            return load.compute
        moving = self.slowdown * load.sent(workers) * BITS / bandwidth
        return load.compute + self.latency * load.rounds(workers) + moving


def fit(measured: Sequence[Measured], workers: int = 2) -> Cost:
    """Least squares, of relative errors, of what took longer than computing; nothing is below 0."""
    rows = np.array(
        [
            [
                each.load.rounds(workers),
                each.load.sent(workers) * BITS / each.bandwidth if each.bandwidth else 0.0,
            ]
            for each in measured
        ]
    )
    beyond = np.array([each.seconds - each.load.compute for each in measured])
    latency, slowdown = nnls(rows / beyond[:, None], np.ones(len(beyond)))[0]
    return Cost(float(latency), float(slowdown))


def all_reduce(size: float, bandwidth: float | None, seconds: float) -> Measured:
    """A bare one of `size` bytes."""
    return Measured(Load(0.0, size, 0.0, 1.0, 0.0), bandwidth, seconds)


def figure(
    cost: Cost, loads: Mapping[str, Load], alone: float, bandwidths: Mapping[str, float]
) -> Figure:
    """Efficiency against the number of workers, a panel for each bandwidth.

    Args:
        alone: seconds that one process takes for the users of one worker.
    """
    colours = style.CYCLE[: len(loads)]
    with style.styled():
        made = style.new_figure(2.2)
        panels = made.subplots(1, len(bandwidths), sharey=True, squeeze=False)[0]
        for axes, (title, bandwidth) in zip(panels, bandwidths.items(), strict=True):
            for (way, load), colour in zip(loads.items(), colours, strict=True):
                shares = [alone / cost.seconds(load, n, bandwidth) for n in SHOWN[1:]]
                axes.plot(SHOWN, [1.0, *shares], color=colour, label=way, marker=".")
            axes.set(title=title, xscale="log", xticks=SHOWN, xticklabels=SHOWN, ylim=(0, 1.05))
            axes.minorticks_off()
            axes.grid(axis="y")
        panels[0].set_ylabel("efficiency, users per worker fixed")
        made.supxlabel("workers", fontsize=7)
        handles, labels = panels[0].get_legend_handles_labels()
        made.legend(handles, labels, loc="outside upper center", ncols=3)
        return style.finish(made)
