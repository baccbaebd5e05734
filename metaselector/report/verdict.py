"""What a run shows about joint MetaSelector, in sentences.

The first sentence is about logloss against the best single model and the fair rivals, which are
fine-tuned without an outer loop. A difference counts if its p-value after Holm's correction is
below 0.05; without p-values, nothing is claimed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd

from metaselector.evaluate.comparisons import BEST_SINGLE, TARGET
from metaselector.evaluate.comparisons import REQUIRED as DIFFERENCE_COLUMNS
from metaselector.evaluate.intervals import LEAST_RESAMPLES, SIGNIFICANT
from metaselector.evaluate.results import REQUIRED
from metaselector.report.groups import SINGLE, group_of
from metaselector.report.inputs import read_table
from metaselector.report.summary import DIFFERENCE, best_single, difference_text

RIVALS = ("user-finetuned", "user-finetuned-residuals")
"""Rows tuned on *valid* in every setting of the inner loop, so that a lead over them is not one of
settings; the plain one, ``user-finetuned-plain``, is not."""

UNTRAINED = "metaselector-untrained"
_METRICS = {"logloss": "logloss", "auc": "AUC", "gauc": "GAUC"}
_LOWER_IS_BETTER = ("logloss",)
AHEAD, BEHIND, OPEN, UNKNOWN = "ahead", "behind", "open", "unknown"


class Outcome(NamedTuple):
    """Joint MetaSelector compared with one row in one metric.

    Attributes:
        row: name of the other row.
        role: how it is named in comparisons between runs.
        difference: joint MetaSelector minus the row.
        text: difference, interval and p-value.
        result: :data:`AHEAD` or :data:`BEHIND` if significant, :data:`OPEN` if not, and
            :data:`UNKNOWN` without a p-value.
    """

    row: str
    role: str
    difference: float
    text: str
    result: str


class Verdict(NamedTuple):
    """What a results table shows.

    Attributes:
        sentence: the verdict on logloss.
        remarks: further sentences: other metrics, what meta-training adds, what limits the verdict.
        outcomes: comparisons in logloss; empty if there are none.
    """

    sentence: str
    remarks: list[str]
    outcomes: list[Outcome]


def read_verdict(folder: Path, settings: Mapping[str, Any]) -> Verdict:
    """Read the verdict from ``results.csv`` and ``differences.csv`` of a folder.

    Args:
        settings: of the run, as in ``config.yaml``; may be empty.

    Raises:
        DataError: a file is damaged, or ``results.csv`` is missing.
    """
    results = read_table(folder / "results.csv", REQUIRED)
    path = folder / "differences.csv"
    differences = read_table(path, DIFFERENCE_COLUMNS) if path.exists() else None
    return verdict(results, differences, settings)


def verdict(
    results: pd.DataFrame, differences: pd.DataFrame | None, settings: Mapping[str, Any]
) -> Verdict:
    """The verdict on a results table.

    Args:
        results: ``results.csv``.
        differences: ``differences.csv``, or None.
        settings: of the run, as in ``config.yaml``; may be empty.
    """
    models = list(dict.fromkeys(results["model"]))
    singles = [m for m in models if group_of(m) == SINGLE and not m.endswith("-train")]
    if len(models) == 1:
        return Verdict(f"{models[0]} is the only row, so there is nothing to compare.", [], [])
    if TARGET not in models:
        return Verdict(
            f"There is no verdict: joint MetaSelector (row {TARGET}) is missing.", [], []
        )
    if differences is None or differences.empty:
        missing = "There is no verdict: differences.csv with the intervals is missing or empty."
        return Verdict(missing, [], [])
    resamples = _resamples(settings)
    enough = resamples is None or resamples >= LEAST_RESAMPLES
    baseline = " or ".join(dict.fromkeys(best_single(results)["model"]))
    rows = {baseline: "the best single model"} | {row: row for row in RIVALS if row in models}
    by_metric = {metric: _outcomes(differences, metric, rows, enough=enough) for metric in _METRICS}
    outcomes = by_metric["logloss"]
    if not outcomes:
        return Verdict("There is no verdict: nothing was compared in logloss.", [], [])
    sentence = _sentence("logloss", outcomes, baseline)
    if any(outcome.result == UNKNOWN for outcome in outcomes):
        few = "" if resamples is None or enough else f" with {resamples:,} resamples"
        sentence = sentence.removesuffix(".") + (
            f"; without p-values{few}, this shows neither a gain nor a loss (they need "
            f"evaluate.resamples of {LEAST_RESAMPLES:,} or more)."
        )
    remarks = [_sentence(metric, found, baseline) for metric, found in by_metric.items() if found][
        1:
    ]
    untrained = _outcomes(differences, "logloss", {UNTRAINED: UNTRAINED}, enough=enough)
    if untrained:
        remarks.append(f"What the outer loop adds: {_sentence('logloss', untrained, '')}")
    if len(singles) == 1:
        remarks.append(
            f"{singles[0]} is the only base model, so nothing is selected: a gain comes from "
            "adapting it to users."
        )
    if not set(RIVALS) & set(models):
        remarks.append(
            f"The fair rivals ({', '.join(RIVALS)}) are missing, so a lead may be one of settings "
            "and not of meta-learning."
        )
    if str(results["protocol"].iloc[0]).startswith(("warm", "cold")):
        remarks.append(
            "Base models have learned from other users' rows that are later than the rows "
            "predicted, as is common in the field; --protocol global splits everybody at one date."
        )
    return Verdict(sentence, remarks, outcomes)


def across(verdicts: Sequence[Verdict], unit: str) -> str:
    """On how many tables each lead in logloss holds, as a sentence.

    Args:
        unit: what the tables are, in the plural.

    Example:
        >>> ahead = Outcome("fm", "the best single model", -0.02, "", AHEAD)
        >>> both = [Verdict("", [], [each]) for each in (ahead, ahead._replace(result=OPEN))]
        >>> across(both, "runs")  # doctest: +NORMALIZE_WHITESPACE
        'In logloss, joint MetaSelector is significantly ahead of the best single model in 1 of 2
        runs (elsewhere -0.0200).'
    """
    by_role: dict[str, list[Outcome]] = {}
    for each in verdicts:
        for outcome in each.outcomes:
            by_role.setdefault(outcome.role, []).append(outcome)
    if not by_role:
        return f"None of the {unit} has a comparison with joint MetaSelector."
    parts = []
    for role, found in by_role.items():
        others = [outcome for outcome in found if outcome.result != AHEAD]
        elsewhere = "; ".join(_signed(outcome) for outcome in others)
        of = f"{len(found) - len(others)} of {len(found)} {unit}"
        parts.append(f"of {role} in {of}" + (f" (elsewhere {elsewhere})" if others else ""))
    return f"In logloss, joint MetaSelector is significantly ahead {_listed(parts)}."


def _signed(outcome: Outcome) -> str:
    notes = {BEHIND: ", significantly behind", UNKNOWN: ", without a p-value"}
    return f"{outcome.difference:+.4f}{notes.get(outcome.result, '')}"


def _resamples(settings: Mapping[str, Any]) -> int | None:
    section = settings.get("evaluate")
    found = section.get("resamples") if isinstance(section, Mapping) else None
    return found if isinstance(found, int) else None


def _outcomes(
    differences: pd.DataFrame, metric: str, rows: Mapping[str, str], *, enough: bool
) -> list[Outcome]:
    of_metric = differences[differences["metric"] == metric]
    target = of_metric[of_metric["family"] == TARGET].set_index("baseline")
    # If seeds differ in the best single model, only this family compares with it.
    single = of_metric[(of_metric["family"] == BEST_SINGLE) & (of_metric["model"] == TARGET)]
    found: list[Outcome] = []
    for row, role in rows.items():
        lines = target.loc[[row]] if row in target.index else single.iloc[: int(role != row)]
        if lines.empty or lines["low"].isna().any():
            continue
        line = lines.iloc[0]
        known = enough and bool(pd.notna(line["p_holm"]))
        text = difference_text(*line.reindex(list(DIFFERENCE)), with_p=known)
        better = (line["difference"] < 0) == (metric in _LOWER_IS_BETTER)
        result = UNKNOWN
        if known:
            significant = line["p_holm"] < SIGNIFICANT
            result = (AHEAD if better else BEHIND) if significant else OPEN
        found.append(Outcome(row, role, float(line["difference"]), text, result))
    return found


def _sentence(metric: str, outcomes: Sequence[Outcome], baseline: str) -> str:
    """One sentence on all outcomes; `baseline` is introduced as the best single model."""
    by_result: dict[str, list[str]] = {}
    for outcome in outcomes:
        name = outcome.row
        if name == baseline:
            name = f"the best single model, {baseline}"
        by_result.setdefault(outcome.result, []).append(f"{name} ({outcome.text})")
    words = {
        AHEAD: "is ahead of {}",
        BEHIND: "is behind {}",
        OPEN: "does not differ significantly from {}",
        UNKNOWN: "is compared with {}",
    }
    parts = [
        words[result].format(_listed(by_result[result])) for result in words if result in by_result
    ]
    return f"In {_METRICS[metric]}, joint MetaSelector {', and '.join(parts)}."


def _listed(names: Iterable[str]) -> str:
    """``a``, ``a and b``, or ``a, b and c``."""
    *most, last = names
    return f"{', '.join(most)} and {last}" if most else last
