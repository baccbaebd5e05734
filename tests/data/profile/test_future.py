"""How many rows that models are fitted on are later than test rows."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError
from metaselector.config import Config
from metaselector.data.interactions import Feature, InteractionTable
from metaselector.data.microseconds import SECOND
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.profile.describe import describe
from metaselector.data.profile.future import future
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.cold import Cold
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.windows import rows_of

from .profiled import profile_of

MakeTable = Callable[[Sequence[tuple[str, str, float, int]]], InteractionTable]
START = 880_000_000
times = st.lists(st.integers(0, 9), min_size=1, max_size=12)


def test_by_hand() -> None:
    """Of 1, 2, 5 and 9, two are later than 2, one is later than 5, and none than 9."""
    found = future(np.array([9, 1, 5, 2]), np.array([2, 5, 9]))
    assert found == (pytest.approx((2 + 1 + 0) / 12), pytest.approx(2 / 3))


@given(times, times)
def test_equals_a_loop_over_pairs(fitted: list[int], tested: list[int]) -> None:
    found = future(np.array(fitted), np.array(tested))
    assert found is not None
    pairs = [f > t for f in fitted for t in tested]
    assert found.share == pytest.approx(np.mean(pairs))
    assert found.tests == pytest.approx(np.mean([max(fitted) > t for t in tested]))


def test_without_rows_there_is_no_share() -> None:
    some, nothing = np.array([1]), np.zeros(0, dtype=np.int64)
    assert future(some, nothing) is None
    assert future(nothing, some) is None


def rows() -> list[tuple[str, str, float, int]]:
    """Thirty users; some rows repeat, and one user has a single row."""
    rng = np.random.default_rng(0)
    found = [
        (f"u{user}", f"i{rng.integers(1, 5)}", float(rng.integers(1, 6)), START + int(day) * 86_400)
        for user in range(30)
        for day in rng.integers(user, user + 40, size=20)
    ]
    found += [found[3], found[3], ("once", "i1", 5.0, START + 86_400 * 60)]
    return [found[place] for place in rng.permutation(len(found))]


@pytest.mark.parametrize("protocol", ["warm", "cold", "global", "global at given dates"])
def test_is_that_of_the_rows_that_the_protocol_uses(make_table: MakeTable, protocol: str) -> None:
    """Whatever preparation drops."""
    config = Config(protocol=protocol.split()[0])
    given = Dates(*(SECOND * (START + day * 86_400) for day in (20, 40, 55)))
    settings = Settings(
        cold_seed=config.cold_seed,
        by_date=config.by_date,
        dates=given if "dates" in protocol else None,
        drop_short_users=True,
    )
    dataset = encode(make_table(rows()), settings)
    used = make_protocol(dataset, config)
    if isinstance(used, Cold):  # whose tables leave out the support
        tested = rows_of(dataset.user_offsets, used.users(90, 100))
    else:
        tested = used.overall.test.flat("query")[0]
    expected = future(dataset.timestamps[used.fitting_rows("full")], dataset.timestamps[tested])
    profile = describe(
        make_table(rows()),
        4.0,
        cold_seed=settings.cold_seed,
        by_date=settings.by_date,
        dates=settings.dates,
    )
    assert expected == (profile.future_share, profile.future_tests)
    assert (expected == (0, 0)) == config.by_date
    assert (profile.split_dates is not None) == config.by_date
    single = [warning for warning in profile.warnings if "single row" in warning]
    assert bool(single) == (not config.by_date)


def test_data_without_times_has_none(make_table: MakeTable) -> None:
    columns = {"user": ["a"] * 10, "item": [None] * 10, "rating": [1.0, 5.0] * 5}
    columns |= {"timestamp": range(10), "x": ["b"] * 10}
    more = {"features": (Feature("x"),), "tabular": True}
    profile = profile_of(columns, **more)  # type: ignore[arg-type]
    assert (profile.future_share, profile.future_tests) == (None, None)


def test_times_that_look_like_ranks_are_not_split_by_date(make_table: MakeTable) -> None:
    ranks = [(user, item, rating, n) for n, (user, item, rating, _) in enumerate(rows())]
    with pytest.raises(DataError, match="all times are before 1980"):
        describe(make_table(ranks), 4.0, by_date=True)
