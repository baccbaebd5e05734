"""How often the 95 % intervals contain the truth, by number of users, in simulated worlds.

    python -m benchmarks.interval_coverage

writes ``benchmarks/results/interval-coverage/``. Two models predict the rows of users. Both err by
user and by row, and the errors of the second have heavier tails. The truth is the difference
between the two over many users.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
import typer

from benchmarks.command import OutputOption, new_app, run
from benchmarks.study import write_results
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.bootstrap import METRICS, draws, scorers
from metaselector.evaluate.intervals import LEVEL, effective_users, interval
from metaselector.runs import environment

OUTPUT = Path("benchmarks/results/interval-coverage")
USERS = (20, 40, 100)
TRUTH_USERS = 200_000
TRUTHS = 3
"""Times that many users, of which the truth is the mean."""

app = new_app()
Sizes = Callable[[int, np.random.Generator], Ints]

WORLDS: dict[str, Sizes] = {
    "10 each": lambda n, rng: np.full(n, 10),
    "geometric": lambda n, rng: rng.geometric(0.1, n),
    "log-normal": lambda n, rng: np.ceil(rng.lognormal(1.8, 1, n)).astype(np.int64),
}
"""Numbers of rows of n users, ten on average."""


class Rows(NamedTuple):
    """Predictions of two models.

    Attributes:
        users: ``[N]``, from 0.
        y: 0 or 1, ``[N]``.
        p: probabilities ``[2, N]``.
    """

    users: Ints
    y: Floats
    p: Floats


def draw(sizes: Ints, rng: np.random.Generator) -> Rows:
    """Rows of users with these numbers of rows."""
    n, users = len(sizes), np.repeat(np.arange(len(sizes)), sizes)
    logit = rng.normal(0.3, 1, n)[users] + rng.normal(size=len(users))
    y = (rng.random(len(users)) < _sigmoid(logit)).astype(np.float64)
    of_user = rng.normal(size=(2, n)) * [np.full(n, 0.8), np.where(rng.random(n) < 0.3, 1.3, 0.55)]
    of_row = rng.normal(size=(2, len(users))) * [[0.5], [0.7]]
    return Rows(users, y, _sigmoid(logit + of_user[:, users] + of_row))


def _sigmoid(logit: Floats) -> Floats:
    values: Floats = 1 / (1 + np.exp(-logit))
    return values


def truth(sizes: Sizes, users: int, rng: np.random.Generator) -> dict[str, float]:
    """The second model's metrics minus the first's, over many users."""
    parts = []
    for _ in range(TRUTHS):
        rows = draw(sizes(users, rng), rng)
        found = scorers(rows.y, rows.p, rows.users, users, METRICS)
        parts.append([np.diff(each.score(np.ones((users, 1)))[:, 0])[0] for each in found.values()])
    return dict(zip(found, np.mean(parts, axis=0).tolist(), strict=True))


def intervals(
    rows: Rows, users: int, resamples: int, rng: np.random.Generator
) -> dict[str, dict[str, tuple[float, float]]]:
    """The intervals of every metric: ours, and the plain percentile interval."""
    made = scorers(rows.y, rows.p, rows.users, users, METRICS)
    parts: dict[str, list[Floats]] = {metric: [] for metric in made}
    for weights in draws(users, resamples, rng):
        for metric, each in made.items():
            parts[metric].append(np.diff(each.score(weights), axis=0)[0])
    found = {}
    for metric, each in made.items():
        resampled = np.concatenate(parts[metric])
        found[metric] = {
            "percentile": interval(resampled, math.inf)[:2],
            "ours": interval(resampled, effective_users(each.sizes))[:2],
        }
    return found


def study(
    worlds: Mapping[str, Sizes], numbers: tuple[int, ...], repeats: int, resamples: int, users: int
) -> pd.DataFrame:
    """Coverage and width of both intervals.

    Args:
        worlds: as :data:`WORLDS`.
        numbers: of users.
        repeats: data sets of each world and number of users.
        resamples: of the users of each data set.
        users: behind the truth.

    Returns:
        ``world, users, metric, truth, interval, coverage, width``; the last is the median.
    """
    records = []
    for number, (world, sizes) in enumerate(worlds.items()):
        true = truth(sizes, users, np.random.default_rng((number, 0)))
        for n in numbers:
            found = []
            for repeat in range(repeats):
                rng = np.random.default_rng((number, n, repeat))
                made = intervals(draw(sizes(n, rng), rng), n, resamples, rng)
                found += [
                    (metric, kind, low <= true[metric] <= high, high - low)
                    for metric, by_kind in made.items()
                    for kind, (low, high) in by_kind.items()
                ]
            table = pd.DataFrame(found, columns=["metric", "interval", "coverage", "width"])
            by = table.groupby(["metric", "interval"], sort=False)
            of_world = by.agg({"coverage": "mean", "width": "median"}).reset_index()
            of_world.insert(0, "truth", of_world["metric"].map(true))
            records.append(of_world.assign(world=world, users=n))
    columns = ["world", "users", "metric", "truth", "interval", "coverage", "width"]
    return pd.concat(records, ignore_index=True)[columns]


def summary(table: pd.DataFrame, repeats: int) -> str:
    """The table as Markdown, with the command."""
    error = (0.95 * 0.05 / repeats) ** 0.5
    lines = [
        "# How often intervals contain the truth",
        "",
        f"`{environment.command()}`: {repeats} data sets for each line. Coverage of {LEVEL} % "
        "intervals of the difference between two models: of ours, and in parentheses of the plain "
        f"percentile interval. The standard error of each is about {error:.1%}. Worlds are named "
        "after the distribution of the users' numbers of rows, ten on average.",
        "",
        f"| world | users | {' | '.join(METRICS)} |",
        f"| --- | ---: |{' ---: |' * len(METRICS)}",
    ]
    wide = table.pivot_table(
        index=["world", "users"], columns=["metric", "interval"], values="coverage", sort=False
    )
    for key, line in zip(wide.index.tolist(), wide.to_dict("records"), strict=True):
        texts = [f"{line[m, 'ours']:.1%} ({line[m, 'percentile']:.1%})" for m in METRICS]
        lines.append(f"| {key[0]} | {key[1]} | {' | '.join(texts)} |")
    return "\n".join(lines) + "\n"


@app.command()
def main(
    repeats: Annotated[int, typer.Option(min=2, help="Data sets of each kind.")] = 400,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples for each interval.")] = 1000,
    truth_users: Annotated[
        int, typer.Option(min=1, help="Simulated users behind each truth.")
    ] = TRUTH_USERS,
    output: OutputOption = OUTPUT,
) -> None:
    """Count how often intervals contain the truth in worlds whose truth is known."""
    started = time.perf_counter()
    table = study(WORLDS, USERS, repeats, resamples, truth_users)
    described = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=0,
        threads=1,
        device="cpu",
        data_sha256="simulated",
    )
    texts = {
        "coverage.csv": table.to_csv(index=False, float_format="%.6g"),
        "summary.md": summary(table, repeats),
    }
    write_results(output, texts, described)


if __name__ == "__main__":
    run(app)
