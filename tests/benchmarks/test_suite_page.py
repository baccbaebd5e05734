"""What the page says of made-up tables."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.suite_leads import Lead, lead_of
from benchmarks.suite_page import claim, page, sections
from benchmarks.suite_ranks import mean_ranks
from benchmarks.suite_readme import readme_table
from benchmarks.suite_tables import read_tables
from tests.benchmarks.made_up import LOSSES, write_entry, write_environment, write_table

NAMES = ("one", "two", "new")


@pytest.fixture
def leads(tmp_path: Path) -> list[Lead]:
    """Known users of two data sets, the lead holds on the first; new users of the first."""
    write_entry(tmp_path / "one")
    write_entry(
        tmp_path / "two", p={"user-finetuned-residuals": 0.3, "lr": 0.2}, dataset="movietweetings"
    )
    for size in (5, 10):
        write_table(tmp_path / "new" / f"support-{size}", split=f"cold-{size}")
    write_environment(tmp_path / "new")
    facts = {"users": 9, "rows_before": 40, "test_rows": 5, "positives_before": 0.5}
    facts |= {"positives_test": 0.4, "spread": 0.2, "drift": 0.1}
    line = {"task": "label", "protocol": "warm-chronological"} | facts
    pd.DataFrame([line]).to_csv(tmp_path / "one" / "data.csv", index=False)
    (tmp_path / "one" / "stages.csv").write_text(
        "stage,seed,seconds,peak_mb\nprepare data,,2.5,300\npretrain lr (full),0,30,400\n"
        "pretrain lr (full),1,12,410\ntrain metaselector,0,100,500\nbootstrap over users,,7,450\n"
    )
    (tmp_path / "two" / "rivals.csv").write_text(
        "seed,model,setting,choice,at_end\n0,user-finetuned,steps,50,True\n"
        "1,user-finetuned,steps,50,True\n1,user-finetuned,selector,0.3,False\n"
    )
    return [lead_of(table) for table in read_tables(tmp_path, NAMES)[0]]


def test_choices_at_an_end_are_told(leads: list[Lead]) -> None:
    ranks = {"Known users, own order": mean_ranks([lead.table for lead in leads[:2]], draws=20)}
    text = page(leads, [], ranks, "made")
    assert "| MovieTweetings | warm | user-finetuned | steps 50 | 2 |" in text
    assert text.count("| user-finetuned | s") == 1
    assert "choices end" not in page(leads[:1], [], ranks, "made")


def test_the_claim_counts_and_names_data_sets(leads: list[Lead]) -> None:
    text = claim(sections(leads)["Known users, own order"])
    assert text.startswith("On 1 of 2 data sets, joint MetaSelector has a lower logloss than every")
    assert "after Holm's correction (MovieLens-100K)." in text
    assert (
        "Not on MovieTweetings (user-finetuned-residuals -0.0200 [-0.0210, -0.0190], p = 0.300, "
        "and 1 more row)." in text
    )
    assert "lower than that of `user-finetuned` on 2 of 2, significantly on 2." in text
    assert text.endswith("and significantly lower than that of any row on none.")


def test_tables_of_one_data_set_are_not_called_data_sets(leads: list[Lead]) -> None:
    text = claim(sections(leads)["New users, n rows"])
    assert text.startswith("On 2 of 2 tables of 1 data set, ")
    assert "(MovieLens-100K, 5 rows, MovieLens-100K, 10 rows)" in text


def test_worse_ranking_is_told(tmp_path: Path) -> None:
    write_entry(tmp_path / "one", {**LOSSES, "uniform": 0.51})
    ((table,), _) = read_tables(tmp_path, ("one",))
    text = claim([lead_of(table)])
    assert text.startswith("On 0 of 1 data set, ")
    assert "Not on MovieLens-100K (uniform +0.0100" in text
    assert "significantly lower than that of some row on MovieLens-100K (uniform -0.0100" in text


def test_what_was_not_tested_is_not_called_a_failure(tmp_path: Path) -> None:
    write_entry(tmp_path / "one", p=dict.fromkeys(LOSSES, math.nan))
    ((table,), _) = read_tables(tmp_path, ("one",))
    text = claim([lead_of(table)])
    assert "Not tested, for lack of resamples: MovieLens-100K." in text
    assert "Not on" not in text


def test_the_page_has_all_parts(leads: list[Lead]) -> None:
    known = [lead.table for lead in leads[:2]]
    ranks = {"Known users, own order": mean_ranks(known, draws=20)}
    text = page(leads, ["not made yet: three"], ranks, "python -m benchmarks.suite_summary")
    first = text.splitlines()[2]
    assert first.startswith("- **Known users, own order.** On 1 of 2 data sets")
    assert "- not made yet: three" in text
    assert "Command: `python -m benchmarks.suite_summary`" in text
    assert "| metaselector | **0.5200** |" not in text  # a sibling is lower
    assert "| metaselector-untrained | **0.5100** | **0.5100** |" in text
    assert "| oracle-user | 0.4000 | 0.4000 |" in text
    assert "| MovieTweetings | warm | no: 2 not beaten |" in text
    assert "| MovieLens-100K | cold-10 | yes |" in text
    assert "![Mean ranks of all rows, a panel per protocol](ranks.png)" in text
    assert "| metaselector | 2.0 [2.0, 2.0] |" in text
    known_facts = "+0.0200 | +0.0600 | +0.0800 | 40 | 0.400 | 0.200 | 0.100 |"
    assert f"| MovieLens-100K | warm | {known_facts}" in text
    assert "| MovieTweetings | warm | +0.0200 | +0.0600 | +0.0800 |  |  |  |  |" in text
    assert "| one | 2 | 42 | 100 | 0 | 7 | 500 | 5 of 5 |" in text


def test_limits_of_copies_are_told(tmp_path: Path) -> None:
    write_table(tmp_path / "one", dataset="movielens-1m")
    title, limit = "MovieLens-1M (reconstructed order)", "Most times are interpolated."
    write_environment(tmp_path / "one", data_title=title, data_limit=limit)
    tables, _ = read_tables(tmp_path, ("one",))
    leads = [lead_of(table) for table in tables]
    text = page(leads, [], {}, "made up")
    assert f"{title}: {limit}" in text
    assert f"| model | {title} |" in text
    assert f"| logloss | {title} |" in readme_table(tables, leads)


def test_the_short_form_is_of_known_users(leads: list[Lead]) -> None:
    lines = readme_table([lead.table for lead in leads], leads).splitlines()
    assert lines == [
        "| logloss | MovieLens-100K | MovieTweetings |",
        "| --- | ---: | ---: |",
        "| best base model | 0.5800 | 0.5800 |",
        "| uniform | 0.5700 | 0.5700 |",
        "| user-finetuned | 0.5500 | 0.5500 |",
        "| user-finetuned-residuals | 0.5400 | 0.5400 |",
        "| metaselector | 0.5200 | 0.5200 |",
        "| metaselector − closest other row | -0.0200 [-0.0210, -0.0190], p = 0.010 "
        "(user-finetuned-residuals) | -0.0200 [-0.0210, -0.0190], p = 0.300 "
        "(user-finetuned-residuals) |",
    ]
