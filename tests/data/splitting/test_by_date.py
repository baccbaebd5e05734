"""Everybody's rows split at dates: nothing later reaches an episode or a training row."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations

import numpy as np
import pytest

from metaselector.config import AdaptConfig, Config, MetaTrainConfig
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.interactions import InteractionTable
from metaselector.data.microseconds import SECOND
from metaselector.data.preparation.encode import Settings, encode
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.by_date import ByDate
from metaselector.data.splitting.dates import Dates
from metaselector.data.splitting.episodes import EpisodeRows

Row = tuple[str, str, float, int]
MakeTable = Callable[[Sequence[Row]], InteractionTable]
START, DAY = 880_000_000, 86_400
SUPPORT, QUERY = 4, 3
CONFIG = Config(
    protocol="global",
    adapt=AdaptConfig(support_size=SUPPORT, support_sizes=()),
    meta_train=MetaTrainConfig(query_size=QUERY),
)


def on_days(user: str, *days: int) -> list[Row]:
    return [(user, f"i{d % 4 + 1}", 5.0 if d % 3 else 1.0, START + d * DAY) for d in days]


@pytest.fixture
def by_hand(make_table: MakeTable) -> ByDate:
    """Early ends on day 6, train on day 8, valid on day 9."""
    rows = [
        *on_days("always", 0, 1, 2, 3, 6, 7, 8, 9, 10),
        *on_days("gone", 4, 5),
        *on_days("learner", 6, 6, 7, 8, 11),
        *on_days("checked", 8, 8, 8, 9),
        *on_days("late", 9, 10, 10, 12),
        *on_days("once", 12),
    ]
    dates = Dates(*((START + day * DAY) * SECOND for day in (6, 8, 9)))
    rows = [(u, f"i{place % 4 + 1}", r, t) for place, (u, _, r, t) in enumerate(rows)]
    dataset = encode(make_table(rows), Settings(by_date=True, dates=dates, history_length=3))
    return ByDate(dataset, CONFIG)


@pytest.fixture(scope="module")
def dataset(make_table: MakeTable) -> EncodedDataset:
    """80 users who come and go over 100 days; half of the rows share their time with another."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(80):
        first, stay = rng.integers(100), rng.choice([2, 60])
        days = np.minimum(first + rng.integers(0, stay, size=rng.integers(1, 60)), 100)
        rows += [
            (f"u{user}", f"i{rng.integers(1, 5)}", float(rng.integers(1, 6)), START + int(d) * DAY)
            for d in days
        ]
    rng.shuffle(rows)
    return encode(make_table([tuple(row) for row in rows]), Settings(by_date=True))


@pytest.fixture(scope="module")
def protocol(dataset: EncodedDataset) -> ByDate:
    found = make_protocol(dataset, CONFIG)
    assert isinstance(found, ByDate)
    return found


def names(protocol: ByDate, users: np.ndarray) -> list[str]:
    return [protocol.dataset.user_names[user] for user in users]


def days(protocol: ByDate, rows: np.ndarray) -> list[int]:
    times = protocol.dataset.timestamps[rows[rows >= 0]] // SECOND - START
    return (times // DAY).tolist()


def test_users_of_windows_by_hand(by_hand: ByDate) -> None:
    found = {
        edges: tuple(names(by_hand, users) for users in by_hand.arrivals(*edges))
        for edges in (("early", "train"), ("train", "valid"), ("valid", "test"))
    }
    assert found == {
        ("early", "train"): (["always"], ["learner"]),
        ("train", "valid"): (["always", "learner"], ["checked"]),
        ("valid", "test"): (["always", "learner", "checked"], ["late", "once"]),
    }
    assert names(by_hand, by_hand.learners) == ["always", "learner"]


def test_episodes_by_hand(by_hand: ByDate) -> None:
    known, new = by_hand.evaluation_splits
    assert (known.name, known.folder, known.support_is_unseen) == (
        "global-date-known", "known", False,
    )  # fmt: skip
    assert (new.name, new.folder, new.support_is_unseen) == ("global-date-new", "new", True)
    assert [days(by_hand, support) for support in known.test.support] == [
        [3, 6, 7, 8], [6, 6, 7, 8], [8, 8, 8],
    ]  # fmt: skip
    assert [days(by_hand, query) for query in known.test.query] == [[9, 10], [11], [9]]
    assert names(by_hand, new.test.users) == ["late", "late", "late", "once"]
    assert [days(by_hand, support) for support in new.test.support] == [[], [9], [9, 10, 10], []]
    assert [days(by_hand, query) for query in new.test.query] == [[9], [10, 10], [12], [12]]
    assert [days(by_hand, query) for query in new.valid.query] == [[8, 8, 8]]
    assert names(by_hand, known.valid.users) == ["always", "learner", "checked"]
    assert by_hand.overall.folder == "."
    assert names(by_hand, by_hand.overall.test.users) == [
        *names(by_hand, known.test.users), *names(by_hand, new.test.users),
    ]  # fmt: skip


def test_training_rows_come_before_their_date(protocol: ByDate) -> None:
    times, dates = protocol.dataset.timestamps, protocol.dates
    windows = {"early": dates.early, "train": dates.train, "full": dates.valid}
    for window, date in windows.items():
        rows = protocol.fitting_rows(window)  # type: ignore[arg-type]
        assert np.array_equal(rows, [i for i, time in enumerate(times) if time < date])
    stopping = protocol.stopping_rows()
    assert np.array_equal(
        stopping, [i for i, time in enumerate(times) if dates.train <= time < dates.valid]
    )
    assert protocol.fitting_dataset is protocol.dataset


def check(protocol: ByDate, episodes: EpisodeRows) -> None:
    """What holds of all episodes."""
    dataset = protocol.dataset
    assert episodes.history_limits is not None
    for place, user in enumerate(episodes.users):
        support, query = episodes.support[place], episodes.query[place]
        support, query = support[support >= 0], query[query >= 0]
        own = np.flatnonzero(dataset.users == user)
        assert len(query)
        before = own[dataset.timestamps[own] < dataset.timestamps[query].min()]
        assert np.array_equal(support, before[-SUPPORT:])  # all that is strictly earlier
        assert episodes.history_limits[place] == dataset.labels[before].sum()


def test_sampled_queries_are_out_of_sample(protocol: ByDate) -> None:
    times, dates = protocol.dataset.timestamps, protocol.dates
    for seed in range(5):
        found = protocol.sample(protocol.learners, np.random.default_rng(seed))
        check(protocol, found)
        rows, _ = found.flat("query")
        assert (times[rows] >= dates.early).all()
        assert (times[rows] < dates.train).all()
        assert found.query.shape[1] == QUERY
        assert len(found.users) == len(protocol.learners)
    everyone = protocol.sample(np.arange(protocol.dataset.num_users), np.random.default_rng(0))
    assert np.array_equal(everyone.users, protocol.learners)


@pytest.mark.parametrize("boundary", ["start", "random"])
def test_where_the_support_of_training_ends(dataset: EncodedDataset, boundary: str) -> None:
    """New users have an empty support now and then, as in the test."""
    settings = MetaTrainConfig(query_size=QUERY, support_boundary=boundary)
    protocol = ByDate(dataset, CONFIG.model_copy(update={"meta_train": settings}))
    known, new = protocol.arrivals("early", "train")
    cuts = []
    for seed in range(20):
        found = protocol.sample(protocol.learners, np.random.default_rng(seed))
        check(protocol, found)
        cuts.append(found.query[:, 0])
    differ = (np.array(cuts) != cuts[0]).any(axis=0)
    is_known = np.isin(protocol.learners, known)
    assert differ[is_known].any() == (boundary == "random")
    assert differ[~is_known].any()
    first = dataset.user_offsets[new]
    assert (np.array(cuts)[:, ~is_known] == first).any()
    assert (np.array(cuts)[:, ~is_known] > first).any()


def test_every_test_row_is_predicted_once(protocol: ByDate) -> None:
    times, dates = protocol.dataset.timestamps, protocol.dates
    known, new = protocol.evaluation_splits
    tested = np.flatnonzero(times >= dates.valid)
    rows = [split.test.flat("query")[0] for split in (known, new)]
    assert np.array_equal(np.sort(np.concatenate(rows)), tested)
    assert np.array_equal(protocol.overall.test.flat("query")[0], tested)
    for part in (protocol.overall.valid, known.valid):
        assert np.array_equal(part.flat("query")[0], protocol.stopping_rows())
    for split in (known, new, protocol.overall):
        for part in (split.valid, split.test):
            check(protocol, part)
            assert (np.diff(part.flat("query")[0]) > 0).all()
    assert not set(known.test.users) & set(new.test.users)
    assert (new.test.query >= 0).sum(axis=1).max() <= 40


def test_windows_share_no_row(protocol: ByDate) -> None:
    parts = [
        protocol.fitting_rows("train"),
        protocol.stopping_rows(),
        protocol.overall.test.flat("query")[0],
    ]
    for a, b in combinations(parts, 2):
        assert not set(a) & set(b)
    assert sum(map(len, parts)) == len(protocol.dataset)


def test_without_one_kind_of_users_there_is_no_table_of_it(make_table: MakeTable) -> None:
    """And what has no user in *valid* is chosen on the others."""
    dates = Dates(*((START + day * DAY) * SECOND for day in (2, 4, 6)))
    settings = Settings(by_date=True, dates=dates)
    known = [*on_days("a", 1, 2, 3, 5, 7), *on_days("b", 0, 3, 4, 8)]
    only = ByDate(encode(make_table(known), settings), CONFIG)
    assert [split.folder for split in only.evaluation_splits] == ["known"]
    both = ByDate(encode(make_table([*known, *on_days("c", 7, 9)]), settings), CONFIG)
    assert [split.folder for split in both.evaluation_splits] == ["known", "new"]
    assert names(both, both.evaluation_splits[1].valid.users) == ["a", "b"]
