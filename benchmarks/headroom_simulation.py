"""Whether headroom finds the truth in simulated worlds: bias, and how often intervals contain it.

    python -m benchmarks.headroom_simulation

writes ``benchmarks/results/headroom-simulation/``. In each world, user u of model k has the mean
loss m_k + b_uk, and each row adds noise. The truth is simulated from the same m, b and noise with a
million users, by making the choice that the figure describes; it uses none of the estimators.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import typer

from benchmarks.command import OutputOption, new_app, run
from benchmarks.study import write_results
from metaselector.data.interactions import Floats, Ints
from metaselector.evaluate.headroom import headroom
from metaselector.runs import environment

EVIDENCE = 5
FIGURES = ("perfect-knowledge", "evidence", "split-half")
OUTPUT = Path("benchmarks/results/headroom-simulation")
TRUTH_USERS = 1_000_000

app = new_app()


@dataclass(frozen=True)
class World:
    """How losses are drawn.

    Attributes:
        means: m, one per model.
        between: standard deviation of b between users.
        within: standard deviation of a row's noise.
        users: number of users.
        rows: mean number of a user's rows; numbers of rows are geometric, from `fewest`.
        fewest: smallest number of rows.
        row_tail, user_tail: degrees of freedom of Student's t for noise and for b; None is normal.
        uneven: whether users with few rows have more noise.
    """

    means: tuple[float, ...] = (0.53, 0.54, 0.545)
    between: float = 0.07
    within: float = 0.35
    users: int = 943
    rows: float = 11
    fewest: int = 2
    row_tail: int | None = None
    user_tail: int | None = None
    uneven: bool = False

    def sizes(self, users: int, rng: np.random.Generator) -> Ints:
        """Numbers of rows ``[U]``."""
        return self.fewest - 1 + rng.geometric(1 / (self.rows - self.fewest + 1), size=users)

    def user_means(self, users: int, rng: np.random.Generator) -> Floats:
        """m + b, ``[U, K]``."""
        b = _scaled(rng, (users, len(self.means)), self.user_tail)
        return np.array(self.means) + self.between * b

    def noise(self, sizes: Ints, rng: np.random.Generator) -> Floats:
        """Noise ``[N, K]`` of one row for each entry of `sizes` ``[N]``, the user's rows."""
        scale = np.where(sizes < self.rows, 1.3, 0.7) if self.uneven else np.ones(len(sizes))
        made = _scaled(rng, (len(sizes), len(self.means)), self.row_tail)
        return self.within * scale[:, None] * made

    def draw(self, rng: np.random.Generator) -> tuple[Floats, Ints]:
        """Losses ``[N, K]`` and users ``[N]``."""
        sizes = self.sizes(self.users, rng)
        users = np.repeat(np.arange(self.users), sizes)
        return self.user_means(self.users, rng)[users] + self.noise(sizes[users], rng), users


WORLDS = {
    "users do not differ": World(between=0),
    "nothing differs": World(means=(0.53, 0.53, 0.53), between=0),
    "users differ": World(),
    "two models": World(means=(0.53, 0.54)),
    "heavy-tailed rows": World(row_tail=3),
    "heavy-tailed users": World(user_tail=3),
    "2 rows on average": World(rows=2, fewest=1),
    "100 users": World(users=100),
    "uneven noise": World(uneven=True),
}


def _scaled(rng: np.random.Generator, shape: tuple[int, int], tail: int | None) -> Floats:
    """Draws with mean 0 and variance 1."""
    if tail is None:
        return rng.standard_normal(shape)
    return rng.standard_t(tail, shape) / (tail / (tail - 2)) ** 0.5


def truth(world: World, rng: np.random.Generator, users: int = TRUTH_USERS) -> dict[str, float]:
    """The true gain of each figure, weighting users by rows."""
    sizes, losses = world.sizes(users, rng), world.user_means(users, rng)
    means = np.array(world.means)
    first = int(means.argmin())

    def gain(choice: Ints) -> float:
        behind = losses[:, first] - losses[np.arange(users), choice]
        return float(behind @ sizes / sizes.sum())

    noise = np.zeros_like(losses)
    for _ in range(EVIDENCE):
        noise += world.noise(sizes, rng) / EVIDENCE
    spread = world.between**2
    mean_noise = world.within**2
    if world.uneven:
        scale = np.where(sizes < world.rows, 1.3, 0.7) ** 2
        mean_noise *= float(scale @ sizes / sizes.sum())
    trust = spread / (spread + mean_noise / EVIDENCE)
    posterior = means + trust * (losses + noise - means)
    halves = sizes // 2
    half = np.zeros_like(losses)
    for row in range(int(halves.max())):
        more = halves > row
        half[more] += world.noise(sizes[more], rng)
    seen = losses + half / np.maximum(halves, 1)[:, None]
    chosen = np.where(halves > 0, seen.argmin(axis=1), first)
    return {
        "perfect-knowledge": gain(losses.argmin(axis=1)),
        "evidence": gain(posterior.argmin(axis=1)),
        "split-half": gain(chosen),
    }


def study(worlds: dict[str, World], repeats: int, resamples: int, users: int) -> pd.DataFrame:
    """Bias and coverage of each figure in each world.

    Returns:
        ``world, figure, truth, mean, bias, standard_error, coverage, width, below``; the last is
        the share of worlds whose ``chance-p`` is below 0.05.
    """
    found = []
    for number, (name, world) in enumerate(worlds.items()):
        true = truth(world, np.random.default_rng((number, 0)), users)
        values: dict[str, list[tuple[float, float, float]]] = {figure: [] for figure in FIGURES}
        below = 0
        for repeat in range(repeats):
            rng = np.random.default_rng((number, 1, repeat))
            drawn, of = world.draw(rng)
            for figure in headroom(
                drawn,
                of,
                rng,
                n_resamples=resamples,
                rows=[EVIDENCE],
                splits=40,
                permutations=99,
            ):
                if figure.name in FIGURES and len(figure.models) == len(world.means):
                    values[figure.name].append((figure.value, figure.low, figure.high))
                below += figure.name == "chance-p" and figure.value <= 0.05
        for figure_name, triples in values.items():
            value, low, high = np.array(triples).T
            covered = (low <= true[figure_name] + 1e-9) & (true[figure_name] <= high + 1e-9)
            found.append(
                {
                    "world": name,
                    "figure": figure_name,
                    "truth": true[figure_name],
                    "mean": value.mean(),
                    "bias": value.mean() - true[figure_name],
                    "standard_error": value.std(ddof=1) / repeats**0.5,
                    "coverage": covered.mean(),
                    "width": (high - low).mean(),
                    "below": below / repeats,
                }
            )
    return pd.DataFrame(found)


def summary(table: pd.DataFrame, repeats: int) -> str:
    """The table as Markdown, with the command."""
    lines = [
        "# Headroom in simulated worlds",
        "",
        f"`{environment.command()}`: {repeats} data sets per world. Bias is the mean estimate "
        "minus the truth, with its standard error; coverage is the share of 95 % intervals that "
        "contain the truth; the last column is the share of data sets whose oracle beats chance "
        f"with p of at most 0.05. Evidence is {EVIDENCE} rows.",
        "",
        "| world | figure | truth | bias | coverage | oracle beats chance |",
        "| --- | --- | ---: | ---: | ---: | ---: |",
    ]
    lines += [
        f"| {row['world']} | {row['figure']} | {row['truth']:.4f} "
        f"| {row['bias']:+.4f} ± {row['standard_error']:.4f} | {row['coverage']:.0%} "
        f"| {row['below']:.0%} |"
        for row in table.to_dict("records")
    ]
    return "\n".join(lines) + "\n"


@app.command()
def main(
    repeats: Annotated[int, typer.Option(min=2, help="Data sets per world.")] = 200,
    resamples: Annotated[int, typer.Option(min=1, help="Resamples for each interval.")] = 300,
    truth_users: Annotated[
        int, typer.Option(min=1, help="Simulated users behind each truth.")
    ] = TRUTH_USERS,
    output: OutputOption = OUTPUT,
) -> None:
    """Compare headroom with the truth in worlds whose truth is known."""
    started = time.perf_counter()
    table = study(WORLDS, repeats, resamples, truth_users)
    described = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=0,
        threads=1,
        device="cpu",
        data_sha256="simulated",
    )
    texts = {
        "simulation.csv": table.to_csv(index=False, float_format="%.6g"),
        "summary.md": summary(table, repeats),
    }
    write_results(output, texts, described)


if __name__ == "__main__":
    run(app)
