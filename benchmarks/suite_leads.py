"""Where joint MetaSelector leads every row that is not its sibling, and where not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from benchmarks.suite_tables import Table, differences_of
from metaselector.evaluate.bounds import HEADROOM
from metaselector.evaluate.comparisons import TARGET
from metaselector.evaluate.intervals import SIGNIFICANT
from metaselector.report.groups import METASELECTOR, ORACLE, SINGLE, group_of

FAIR = "user-finetuned"


class Gap(NamedTuple):
    """Joint MetaSelector minus a row in one metric, with its 95 % interval.

    Attributes:
        row: the other row.
        difference, low, high: difference and ends of the interval.
        p: p-value after Holm's correction; nan if there was no test.
        floor: the lowest that it can be; nan if that is unknown.
    """

    row: str
    difference: float
    low: float
    high: float
    p: float
    floor: float = math.nan

    @property
    def text(self) -> str:
        """``-0.0100 [-0.0200, -0.0050], p = 0.010``; at its floor, p is ≤."""
        text = f"{self.difference:+.4f} [{self.low:+.4f}, {self.high:+.4f}]"
        if math.isnan(self.p):
            return text
        if self.p < 1 and self.p <= self.floor * (1 + 1e-9):
            return f"{text}, p ≤ {math.ceil(round(1e4 * self.floor, 6)) / 1e4:.4f}"
        return f"{text}, p = {self.p:.3f}" if self.p >= 0.001 else f"{text}, p < 0.001"

    @property
    def named(self) -> str:
        """The row, then :attr:`text`."""
        return f"{self.row} {self.text}"


class Lead(NamedTuple):
    """How joint MetaSelector stands in one table against all rows that are not its siblings.

    Attributes:
        table: the table.
        is_tested: whether there are p-values; few resamples give none.
        unbeaten: rows whose logloss is not significantly higher, the lowest first.
        better_gauc: rows whose GAUC is significantly higher.
        closest: against the row with the lowest logloss.
        fair: against fine-tuning that is tuned on *valid*.
        auc, gauc: against the row with the highest AUC, and GAUC.
        gain: logloss of the best single model minus joint MetaSelector's, by means over seeds.
        headroom: logloss of the best single model minus that with perfect knowledge of the users;
            nan if it was not measured.
    """

    table: Table
    is_tested: bool
    unbeaten: tuple[Gap, ...]
    better_gauc: tuple[Gap, ...]
    closest: Gap
    fair: Gap
    auc: Gap
    gauc: Gap
    gain: float
    headroom: float

    @property
    def holds(self) -> bool:
        """Whether logloss is significantly lower than that of every such row."""
        return self.is_tested and not self.unbeaten


def is_sibling(model: str) -> bool:
    """Whether a row is MetaSelector or a variant of it; fine-tuning is not.

    Example:
        >>> [is_sibling(row) for row in ("metaselector-paper", "user-finetuned-residuals")]
        [True, False]
    """
    return group_of(model) == METASELECTOR


def is_rival(model: str) -> bool:
    """Whether a row counts for the lead: no sibling, and no oracle or bound."""
    return group_of(model) not in {METASELECTOR, ORACLE}


def lead_of(table: Table) -> Lead:
    """Compare joint MetaSelector of a table with its rivals."""
    compared = differences_of(table)
    means = table.results.groupby("model")[["logloss", "auc", "gauc"]].mean()
    rivals = [str(model) for model in means.index if is_rival(str(model))]

    def gaps(metric: str, *, highest_first: bool) -> list[Gap]:
        ordered = means.loc[rivals, metric].sort_values(ascending=not highest_first)
        values = compared.xs(metric, level="metric")
        return [Gap(str(row), *values.loc[str(row)].astype(float)) for row in ordered.index]

    losses = gaps("logloss", highest_first=False)
    ranked = gaps("gauc", highest_first=True)
    singles = [row for row in rivals if group_of(row) == SINGLE]
    losses_of = {str(model): float(loss) for model, loss in means["logloss"].items()}
    single = min(losses_of[model] for model in singles)
    return Lead(
        table,
        is_tested=not any(math.isnan(each.p) for each in losses),
        unbeaten=tuple(
            each for each in losses if not (each.difference < 0 and each.p < SIGNIFICANT)
        ),
        better_gauc=tuple(each for each in ranked if each.difference < 0 and each.p < SIGNIFICANT),
        closest=losses[0],
        fair=next(each for each in losses if each.row == FAIR),
        auc=gaps("auc", highest_first=True)[0],
        gauc=ranked[0],
        gain=single - losses_of[TARGET],
        headroom=single - losses_of.get(HEADROOM, math.nan),
    )


def rank_correlation(leads: Sequence[Lead], values: Sequence[float]) -> float:
    """Spearman's correlation of `values` with the lead over the closest row; nan below three."""
    table = pd.DataFrame({"lead": [-lead.closest.difference for lead in leads], "value": values})
    table = table.dropna()
    if len(table) < 3 or table["value"].nunique() < 2:
        return math.nan
    return float(table["lead"].rank().corr(table["value"].rank()))


def _below_zero(gap: Gap) -> bool:
    return gap.difference < 0 and gap.p < SIGNIFICANT
