"""What the first sentence of a report says."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.evaluate.comparisons import BEST_SINGLE, REQUIRED
from metaselector.report.verdict import AHEAD, BEHIND, OPEN, UNKNOWN, across, read_verdict, verdict
from tests.report.invented import LOSSES, differences, results, write_run

SETTINGS = {"evaluate": {"resamples": 10_000}}


def test_the_sentence_names_what_is_ahead_and_what_is_not() -> None:
    found = verdict(results(), differences(), SETTINGS)
    assert found.sentence == (
        "In logloss, joint MetaSelector is ahead of the best single model, fm (-0.0400 [-0.0420, "
        "-0.0380], p = 0.010) and user-finetuned (-0.0100 [-0.0120, -0.0080], p = 0.010), and does "
        "not differ significantly from user-finetuned-residuals (-0.0050 [-0.0070, -0.0030], "
        "p = 0.400)."
    )
    assert [outcome.result for outcome in found.outcomes] == [AHEAD, AHEAD, OPEN]
    area, ranking, untrained, time = found.remarks
    assert area.startswith(
        "In AUC, joint MetaSelector is ahead of the best single model, fm (+0.04"
    )
    assert ranking.startswith("In GAUC, joint MetaSelector does not differ significantly from the ")
    assert "metaselector-untrained (-0.0060 [-0.0080, -0.0040], p = 0.200)" in untrained
    assert "--protocol global" in time


def test_a_loss_is_a_loss_and_nothing_significant_is_said() -> None:
    worse = LOSSES | {"metaselector": 0.6}
    found = verdict(results(worse), differences(worse), SETTINGS)
    assert [outcome.result for outcome in found.outcomes] == [BEHIND, BEHIND, OPEN]
    assert "is behind the best single model, fm (+0.0200" in found.sentence
    assert "ahead" not in found.sentence
    nothing = verdict(results(), differences(p=dict.fromkeys(LOSSES, 0.06)), SETTINGS)
    assert "ahead" not in nothing.sentence
    assert nothing.sentence.startswith("In logloss, joint MetaSelector does not differ significant")


@pytest.mark.parametrize(("resamples", "said"), [(1999, " with 1,999 resamples"), (None, "")])
def test_without_p_values_nothing_is_claimed(resamples: int | None, said: str) -> None:
    """Too few resamples for a p-value, in a file that has them or in one that does not."""
    found = differences() if resamples else differences().assign(p_holm=float("nan"))
    settings = {"evaluate": {"resamples": resamples}} if resamples else {}
    given = verdict(results(), found, settings)
    assert {outcome.result for outcome in given.outcomes} == {UNKNOWN}
    assert f"; without p-values{said}, this shows neither a gain nor a loss" in given.sentence
    assert "p =" not in given.sentence
    assert "[-0.0420, -0.0380]" in given.sentence
    assert verdict(results(), differences(), {"evaluate": {"resamples": 2000}}).outcomes != []


def test_without_something_to_compare_there_is_no_verdict() -> None:
    only = {"lr": 0.6}
    assert verdict(results(only, "lr"), None, {}).sentence == (
        "lr is the only row, so there is nothing to compare."
    )
    without = {model: loss for model, loss in LOSSES.items() if model != "metaselector"}
    assert "joint MetaSelector (row metaselector) is missing" in (
        verdict(results(without), None, {}).sentence
    )
    for empty in (None, differences().iloc[:0]):
        found = verdict(results(), empty, SETTINGS)
        assert "differences.csv with the intervals is missing or empty" in found.sentence
        assert found.outcomes == []


def test_one_base_model_and_no_fair_rival_are_said() -> None:
    few = {model: LOSSES[model] for model in ("fm", "uniform", "metaselector", "oracle-user")}
    found = verdict(results(few), differences(few), SETTINGS)
    assert [outcome.row for outcome in found.outcomes] == ["fm"]
    assert any("fm is the only base model, so nothing is selected" in r for r in found.remarks)
    assert any("The fair rivals (user-finetuned, user-" in remark for remark in found.remarks)


def test_seeds_that_differ_in_the_best_single_model() -> None:
    both = pd.concat([results(best="fm"), results(best="lr").assign(seed=1)])
    line = (BEST_SINGLE, "metaselector", "fm or lr", "logloss", -0.05, -0.06, -0.04, 0.01, 0.02, 2)
    family = pd.DataFrame([line], columns=list(REQUIRED))
    kept = differences().query("family != @BEST_SINGLE")
    found = verdict(both, pd.concat([kept, family]), SETTINGS)
    assert (
        "the best single model, fm or lr (-0.0500 [-0.0600, -0.0400], p = 0.020)" in found.sentence
    )


def test_a_claim_names_on_how_many_tables_it_holds() -> None:
    good = verdict(results(), differences(), SETTINGS)
    worse = LOSSES | {"metaselector": 0.6}
    bad = verdict(results(worse), differences(worse), SETTINGS)
    few = verdict(results(), differences(), {"evaluate": {"resamples": 10}})
    assert across([good, bad, few], "runs") == (
        "In logloss, joint MetaSelector is significantly ahead of the best single model in 1 of 3 "
        "runs (elsewhere +0.0200, significantly behind; -0.0400, without a p-value), of "
        "user-finetuned in 1 of 3 runs (elsewhere +0.0500, significantly behind; -0.0100, without "
        "a p-value) and of user-finetuned-residuals in 0 of 3 runs (elsewhere -0.0050; +0.0550; "
        "-0.0050, without a p-value)."
    )
    nothing = verdict(results({"lr": 0.6}, "lr"), None, {})
    assert across([nothing], "runs") == "None of the runs has a comparison with joint MetaSelector."


def test_files_are_read_and_checked(tmp_path: Path) -> None:
    write_run(tmp_path)
    assert read_verdict(tmp_path, SETTINGS) == verdict(results(), differences(), SETTINGS)
    (tmp_path / "differences.csv").write_text("family\n")
    with pytest.raises(DataError, match="column is missing"):
        read_verdict(tmp_path, SETTINGS)
