"""How fast users are resampled for the intervals of a table of results.

    python -m benchmarks.bootstrap_speed

times :func:`metaselector.evaluate.bootstrap.scorers` and their resamples for logloss, AUC and GAUC
of 20 models: with as many test rows as MovieLens-1M has, and with 2 million rows, where a few
resamples are timed and 10,000 extrapolated. Scores are synthetic and have no ties, which is the
slowest case. The figures are added to ``run.json`` under the key ``bootstrap``.
"""

from __future__ import annotations

from pathlib import Path
from time import perf_counter, process_time
from typing import Annotated, NamedTuple

import numpy as np
import torch
import typer

from benchmarks import measure
from benchmarks.command import ThreadsOption, new_app, print_figures, run
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.bootstrap import draws, scorers

KEY = "bootstrap"
METRICS = ("logloss", "auc", "gauc")
MODELS = 20
RESAMPLES = 10_000
TARGETS = {"seconds": "≤ 20"}

app = new_app()


class Size(NamedTuple):
    """Size of a table: users, rows, and how many resamples are timed."""

    users: int
    rows: int
    timed: int


SIZES = {"": Size(6_040, 100_000, RESAMPLES), "_2m": Size(138_000, 2_000_000, 256)}
"""By the ending of the figures' names."""


def predictions(size: Size, models: int, rng: np.random.Generator) -> tuple[Floats, Floats, Ints]:
    """Labels ``[N]``, probabilities ``[M, N]`` and users ``[N]``; each user has a row at least."""
    further = rng.integers(size.users, size=size.rows - size.users)
    codes = np.concatenate([np.arange(size.users), further])
    logit = rng.normal(0.3, 1, size.users)[codes] + rng.normal(size=size.rows)
    y = (rng.random(size.rows) < 1 / (1 + np.exp(-logit))).astype(np.float64)
    p = np.stack([1 / (1 + np.exp(-logit - rng.normal(size=size.rows))) for _ in range(models)])
    return y, p, codes


def timed(size: Size, models: int) -> dict[str, float]:
    """Seconds before the first resample and for all that are timed; peak memory of the process.

    Seconds of the processor, over all threads, are meaningful on a busy machine too.
    """
    rng = np.random.default_rng(0)
    y, p, codes = predictions(size, models, rng)
    started, cpu_started = perf_counter(), process_time()
    found = scorers(y, p, codes, size.users, METRICS)
    ready, cpu_ready = perf_counter(), process_time()
    for weights in draws(size.users, size.timed, rng):
        for each in found.values():
            each.score(weights)
    return {
        "before_seconds": ready - started,
        "seconds": perf_counter() - ready,
        "before_cpu_seconds": cpu_ready - cpu_started,
        "cpu_seconds": process_time() - cpu_ready,
        "peak_mb": measure.held("VmHWM") * 1024 / 1e6,
    }


def figures(raw: dict[str, dict[str, float]]) -> dict[str, float]:
    """Seconds of :data:`RESAMPLES` resamples and peak memory, for each of :data:`SIZES`."""
    found = {}
    for name, each in raw.items():
        scale = RESAMPLES / SIZES[name].timed
        for kind in ("seconds", "cpu_seconds"):
            found[f"{kind}{name}"] = each[f"before_{kind}"] + scale * each[kind]
        found[f"peak_mb{name}"] = each["peak_mb"]
    return found


@app.command()
def main(
    json: Annotated[Path, typer.Option(help="JSON file to add the figures to.")] = Path(
        "benchmarks/results/speed/run.json"
    ),
    threads: ThreadsOption = 2,
) -> None:
    """Time the bootstrap over users."""
    torch.set_num_threads(threads)
    raw = {name: timed(size, MODELS) for name, size in SIZES.items()}
    found = figures(raw)
    measure.save_in(
        json,
        KEY,
        found | {"raw": raw, "machine": measure.machine(), "versions": measure.versions()},
    )
    print_figures(found, TARGETS)


if __name__ == "__main__":
    run(app)
