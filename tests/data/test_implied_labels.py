"""Labels that are positive only where another one is."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.data.implied_labels import Implied, ImpliedLabels


def found(*labels: np.ndarray, cuts: tuple[int, ...] = ()) -> list[Implied]:
    counts = ImpliedLabels(len(labels))
    for block in np.split(np.stack([label.astype(float) for label in labels], axis=1), cuts):
        counts.add(block, np.ones(len(labels)))
    return counts.found()


ROWS = np.arange(300)
SHOWN, CLICKED, BOUGHT = ROWS % 2 == 0, ROWS % 4 == 0, ROWS % 8 == 0


@pytest.mark.parametrize("cuts", [(), (1, 100)])
def test_a_chain_names_the_nearest(cuts: tuple[int, ...]) -> None:
    assert found(BOUGHT, SHOWN, CLICKED, cuts=cuts) == [Implied(0, 2, 38), Implied(2, 1, 75)]


def test_one_exception_is_enough() -> None:
    exception = BOUGHT.copy()
    exception[1] = True
    assert found(CLICKED, exception) == []


def test_equal_labels_do_not_imply_each_other() -> None:
    assert found(CLICKED, CLICKED) == []


def test_nothing_follows_from_a_constant_label() -> None:
    assert found(np.ones(300), CLICKED, np.zeros(300)) == []


def test_a_few_rows_may_be_chance() -> None:
    rare = np.zeros(300)
    rare[:8:2] = 1  # 4 rows, each shown with probability 1/2
    assert found(SHOWN, rare) == []


def test_cells_that_are_not_observed_prove_nothing() -> None:
    clicked = np.where(ROWS < 100, np.nan, CLICKED)
    bought = BOUGHT.copy()
    bought[1] = True  # not known to be clicked
    (only,) = found(clicked, bought)
    assert only == Implied(1, 0, int(BOUGHT[100:].sum()))


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=60))
def test_what_is_found_holds(rows: list[tuple[bool, bool]]) -> None:
    labels = np.array(rows).T
    for each in found(*labels):
        assert labels[each.earlier][labels[each.later]].all()
        assert each.positives == labels[each.later].sum()
