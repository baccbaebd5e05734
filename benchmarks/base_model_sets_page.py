"""The page of :mod:`benchmarks.base_model_sets`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import pandas as pd

HEADROOM = (("perfect-knowledge", None), ("evidence", 5), ("evidence", 40))
LOSSES = ("uniform-logloss", "sample-selector-logloss", "metaselector-logloss")
RANKING = ("uniform-gauc", "metaselector-gauc")
SECONDS = ("seconds-base-models", "seconds-meta-training")


class Found(NamedTuple):
    """One figure over all seeds: mean, standard deviation (nan for one seed) and interval."""

    value: float
    sd: float
    low: float
    high: float

    def with_spread(self, digits: int = 4) -> str:
        spread = "" if pd.isna(self.sd) else f" ± {self.sd:.{digits}f}"
        return f"{self.value:.{digits}f}{spread}"

    def with_interval(self, sign: str = "") -> str:
        low, high = f"{self.low:{sign}.4f}", f"{self.high:{sign}.4f}"
        return f"{self.value:{sign}.4f} [{low}, {high}]"


def page(table: pd.DataFrame, dataset: str, command: str) -> str:
    """Markdown with what each set has on *valid* and *test*, what it costs, and what models add.

    Args:
        table: of :mod:`benchmarks.base_model_sets`.
    """
    sets = list(table["set"].unique())
    seeds = table["seed"].nunique()
    lines = [
        f"## Which base models: {dataset}",
        "",
        f"Known users, mean of {seeds} seed(s). Headroom: how much choosing one base model per "
        "user can win in logloss over the best single model of the set, with perfect knowledge of "
        "the users and with n rows of evidence; 95 % intervals by bootstrap over users. uniform: "
        "plain average of the set. sample-selector: the selector without adaptation. joint: joint "
        f"MetaSelector. Δ: joint on this set minus joint on `{sets[0]}`, with the 95 % interval of "
        "the paired bootstrap over users, not corrected for the number of sets. The intervals do "
        "not include the effect of training again"
        + (". ±: standard deviation over the seeds." if seeds > 1 else "."),
        "",
        f"Command: `{command}`",
        "",
    ]
    for window in ("valid", "test"):
        of_window = table[table["window"] == window]
        lines += [
            f"### {window}",
            "",
            "| set | best single | perfect knowledge | with 5 rows | with 40 rows |",
            "|---|---:|---:|---:|---:|",
            *_rows(_headroom(of_window, each) for each in sets),
            "",
            "| set | uniform | sample-selector | joint | Δ | GAUC uniform | GAUC joint | Δ GAUC |",
            "|---|---:|---:|---:|---:|---:|---:|---:|",
            *_rows(_compared(of_window, each) for each in sets),
            "",
        ]
    lines += [
        "### Seconds",
        "",
        "For one seed, with one thread. base models: sum over models and windows, by the clock. "
        "meta-training: sample-selector and joint MetaSelector, time of the processor.",
        "",
        "| set | base models | meta-training |",
        "|---|---:|---:|",
        *_rows(
            (each, *(_found(table, each, name).with_spread(0) for name in SECONDS)) for each in sets
        ),
        "",
        *_left_out(table),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _headroom(table: pd.DataFrame, each: str) -> Iterator[str]:
    yield each
    yield _found(table, each, "best-single").with_spread()
    for figure, n in HEADROOM:
        yield _found(table, each, figure, n).with_interval()


def _compared(table: pd.DataFrame, each: str) -> Iterator[str]:
    yield each
    for figures, metric in ((LOSSES, "logloss"), (RANKING, "gauc")):
        for figure in figures:
            yield _found(table, each, figure).with_spread()
        own = each == table["set"].iloc[0]
        yield "" if own else _found(table, each, f"difference-{metric}").with_interval("+")


def _left_out(table: pd.DataFrame) -> list[str]:
    """What each model adds to the largest set."""
    largest = max(table["set"].unique(), key=lambda each: each.count("+"))
    added = table[(table["set"] == largest) & (table["figure"] == "added")]
    if added.empty:  # a set of two
        return []
    return [
        "### What each base model adds",
        "",
        f"How much lower the logloss with perfect knowledge of the users is among `{largest}` "
        "than without the model.",
        "",
        "| base model | valid | test |",
        "|---|---:|---:|",
        *_rows(
            (
                name,
                *(
                    _mean(
                        added[(added["models"] == name) & (added["window"] == window)]
                    ).with_interval("+")
                    for window in ("valid", "test")
                ),
            )
            for name in largest.split("+")
        ),
    ]


def _found(table: pd.DataFrame, each: str, figure: str, n: int | None = None) -> Found:
    """A figure of all models of a set."""
    chosen = table[(table["set"] == each) & (table["figure"] == figure)]
    chosen = chosen[chosen["models"].isna() | (chosen["models"] == each)]
    return _mean(chosen if n is None else chosen[chosen["n"] == n])


def _mean(chosen: pd.DataFrame) -> Found:
    """Over the seeds; a line without a seed is over all seeds already."""
    of_seeds = chosen[chosen["seed"].notna()]
    over_all = chosen[chosen["seed"].isna()]
    ends = over_all if len(over_all) else of_seeds
    value, low, high = ends[["value", "low", "high"]].mean()
    return Found(float(value), float(of_seeds["value"].std()), float(low), float(high))


def _rows(rows: Iterable[Iterable[str]]) -> Iterator[str]:
    for cells in rows:
        yield f"| {' | '.join(cells)} |"
