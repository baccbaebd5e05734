"""Cost model of a step on N workers: computing, waiting for messages, and moving bytes.

``time(N) = compute + latency * rounds(N) + slowdown * bytes(N) / bandwidth``, with as many users
per worker as measured. Compute is processor time, including short busy waits. The other two terms
are fitted to bare all-reduces, the fastest of several, because timings of steps on a busy machine
mostly reflect how busy it is.

Collectives are rings. An all-reduce of n bytes takes ``2 (N - 1)`` rounds, and each worker sends
``2 (N - 1) / N n`` bytes (Patarasuk and Yuan, "Bandwidth optimal all-reduce algorithms", JPDC
2009). An all-gather of n bytes per worker takes ``N - 1`` rounds and ``(N - 1) n`` bytes.
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
    """Average work of one worker in a step.

    Attributes:
        compute: processor time in seconds.
        reduced: bytes of its tensors that are all-reduced.
        gathered: bytes of its tensors that are all-gathered.
        reduces, gathers: number of all-reduces and all-gathers.
        whole: bytes of the tables whose rows are gathered; whole tables are all-reduced instead if
            that moves less.
    """

    compute: float
    reduced: float
    gathered: float
    reduces: float
    gathers: float
    whole: float = math.inf

    def sent(self, workers: int) -> float:
        """Bytes that a worker sends."""
        n = workers
        rows = min((n - 1) * self.gathered, 2 * (n - 1) / n * self.whole)
        return 2 * (n - 1) / n * self.reduced + rows

    def rounds(self, workers: int) -> float:
        """Number of messages that a worker waits for in sequence."""
        n = workers
        return 2 * (n - 1) * self.reduces + (n - 1) * self.gathers


@dataclass(frozen=True)
class Measured:
    """Seconds of two workers; `bandwidth` is in bits per second, None if unlimited."""

    load: Load
    bandwidth: float | None
    seconds: float


@dataclass(frozen=True)
class Cost:
    """The fitted model.

    Attributes:
        latency: seconds per round.
        slowdown: factor on ``bytes / bandwidth`` for headers and the protocol.
    """

    latency: float
    slowdown: float

    def seconds(self, load: Load, workers: int, bandwidth: float) -> float:
        """Seconds of a step on a network of `bandwidth` bits per second and worker."""
        if workers == 1:
            return load.compute
        moving = self.slowdown * load.sent(workers) * BITS / bandwidth
        return load.compute + self.latency * load.rounds(workers) + moving


def fit(measured: Sequence[Measured], workers: int = 2) -> Cost:
    """Non-negative least squares on relative errors of the time beyond computing."""
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
    """The measurement of a bare all-reduce of `size` bytes."""
    return Measured(Load(0.0, size, 0.0, 1.0, 0.0), bandwidth, seconds)


def figure(
    cost: Cost, loads: Mapping[str, Load], alone: float, bandwidths: Mapping[str, float]
) -> Figure:
    """Efficiency against the number of workers, one panel per bandwidth.

    Args:
        alone: seconds of a single process for the users of one worker.
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
