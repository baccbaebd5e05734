"""Profiles on the terminal and as JSON."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from metaselector.data.interactions import Origin
from metaselector.data.profile.figures import (
    FeatureProfile,
    LogProfile,
    NumberProfile,
    Spread,
    TaskProfile,
    WindowRates,
)
from metaselector.data.profile.long_users import LeftOut
from metaselector.data.profile.users_by_rows import AtLeast, UsersByRows
from metaselector.report.profile import print_profile, profile_json

RATES = WindowRates(0.75, 0.5, None)
BY_ROWS = UsersByRows("before_test", 80, (AtLeast(1, 80, 1.0), AtLeast(5, 20, 0.25)))

PROFILE = LogProfile(
    dataset="tiny",
    source="raw/[b]tiny.csv",
    rows=12345,
    users=100,
    items=50,
    pairs=400,
    density=0.08,
    repeated_rows=7,
    first_time="2001-01-01T00:00:00Z",
    last_time="2002-02-03T04:05:06Z",
    rows_before_1995=0,
    rows_in_future=0,
    tasks=(
        TaskProfile("rating", 4.0, 12345, 6789, 1.0, 6789 / 12345, 0.5, 5.0, 3, RATES, 0.1234, 0.0),
        TaskProfile("click", 1.0, 0, 0, 0.0, None, None, None, 0),
    ),
    rows_per_user=Spread(1, 2.5, 10, 20, 1234567, 123.45),
    rows_per_item=Spread(2, 3, 4, 5, 6, 7),
    single_row_users=1,
    short_users=2,
    users_at_one_time=0,
    users_unknown=3,
    items_unknown=None,
    users_by_rows=BY_ROWS,
    features=(
        FeatureProfile("device", "row", "categorical", 4, 1, 0.25, 2, (("[red]", 2), ("b", 1))),
        FeatureProfile(
            "price",
            "row",
            "numeric",
            4,
            0,
            0.0,
            None,
            (),
            NumberProfile(1.5, 2, -3, 4, False),
            8,
            2,
        ),
        FeatureProfile("genres", "item", "multivalued", 4, 4, 1.0, 0),
    ),
    repairs=("one [bold] line was mended",),
    warnings=("something [x] is odd: " + "do this " * 30,),
)


def shown(profile: LogProfile, width: int = 100) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        print_profile(profile, console)
    return capture.get()


@pytest.mark.parametrize("width", [60, 80, 200])
def test_everything_is_shown(width: int) -> None:
    text = shown(PROFILE, width)
    for part in ("raw/[b]tiny.csv", "12,345", "100 (3 of them not described)", "8 %", "400"):
        assert part in text
    assert "2001-01-01 00:00:00 to 2002-02-03 04:05:06" in text or width < 80
    assert "repaired: one [bold] line was mended\n" in text
    assert f"warning: {PROFILE.warnings[0]}\n" in text
    assert "No warnings." not in text


def test_numbers_of_a_wide_terminal() -> None:
    lines = [" ".join(line.replace("│", " ").split()) for line in shown(PROFILE).splitlines()]
    assert "rating 100.00 % 54.99 % >= 4 0.5 to 5 3" in lines
    assert "click 0.00 % - >= 1 - 0" in lines
    assert "user 1 2.5 10 20 1,234,567 123.45" in lines
    assert "rating 75.00 % 50.00 % - 0.123 0.000" in lines
    assert "click - - - - -" in lines
    assert "device categorical 25.00 % 2 - [red] (2), b (1)" in lines
    assert "price numeric 0.00 % many 25.00 % 1.5 ± 2, -3 to 4" in lines
    assert "genres multivalued 100.00 % 0 -" in lines
    assert lines.index("of rows") < lines.index("of items")


def test_how_much_of_the_training_is_later_than_the_test() -> None:
    lines = " ".join(
        shown(replace(PROFILE, future_share=0.39877, future_tests=0.9997), 200).split()
    )
    assert "future share │ 39.88 % of the training rows are later than a test row" in lines
    assert "99.97 % of the test rows have later training rows" in lines
    assert "windows end at" not in lines
    dates = ("2001-06-01T00:00:00Z", "2001-07-01T00:00:00Z", "2001-08-01T12:00:00Z")
    dated = " ".join(shown(replace(PROFILE, split_dates=dates), 200).split())
    assert "2001-06-01 00:00:00 (early)" in dated
    assert "2001-08-01 12:00:00 (valid)" in dated
    assert "future share" not in dated


def test_users_with_enough_rows() -> None:
    text = " ".join(shown(PROFILE).split())
    assert "│ users │ 80 │ 20 │ │ share │ 100.00 % │ 25.00 % │" in text
    assert "of the 80 users with rows in the test window" in text
    held_out = replace(PROFILE, users_by_rows=replace(BY_ROWS, counted="in_all"))
    assert "of all 80 users; those held out adapt on the first of their rows" in " ".join(
        shown(held_out).split()
    )
    nobody = replace(BY_ROWS, users=0, at_least=(AtLeast(1, 0, None),))
    grouped = shown(replace(PROFILE, tabular=True, users_by_rows=nobody))
    assert "of the 0 groups with rows in the test window" in " ".join(grouped.split())


def test_tied_rows_are_always_shown() -> None:
    tied = replace(PROFILE, same_time_share=0.0, same_second_share=0.0)
    text = " ".join(shown(tied, 200).split())
    assert "0.00 % of the rows share their time with another row of their user │" in text
    finer = replace(tied, same_second_share=0.25, lists=True)
    text = " ".join(shown(finer, 200).split())
    assert "another row of their user, 25.00 % their second, as rows of a list do │" in text
    assert "tied rows" not in shown(PROFILE)  # a table without times


def test_nothing_to_say() -> None:
    text = shown(replace(PROFILE, warnings=(), repairs=(), features=()))
    assert text.endswith("No warnings.\n")
    assert "feature" not in text


def test_what_was_left_out_and_what_the_copy_lacks(tmp_path: Path) -> None:
    origin = Origin("Tiny (copy)", "It has no times.", true_times=False)
    profile = replace(PROFILE, left_out=LeftOut(20, 1_234, 5_678), origin=origin)
    text = " ".join(shown(profile, 200).split())
    assert text.startswith("Tiny (copy) ")
    assert "1,234 users with fewer than 20 rows, with 5,678 rows (data.min_user_rows)" in text
    assert " note: It has no times. " in text
    found = json.loads(profile_json(profile))
    counts = {"min_user_rows": 20, "users": 1_234, "rows": 5_678}
    assert found["left_out"] == {**counts, "min_user_lists": 1}
    assert found["origin"]["title"] == "Tiny (copy)"


def test_json() -> None:
    found = json.loads(profile_json(PROFILE))
    assert found["rows_per_user"]["maximum"] == 1234567
    assert found["tasks"][1]["rate"] is None
    assert found["tasks"][0]["window_rates"] == {"train": 0.75, "valid": 0.5, "test": None}
    assert (found["tasks"][0]["spread"], found["tasks"][1]["spread"]) == (0.1234, None)
    assert found["users_by_rows"]["at_least"][1] == {"rows": 5, "users": 20, "share": 0.25}
    assert found["features"][0]["frequent"] == [["[red]", 2], ["b", 1]]
