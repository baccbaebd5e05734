"""Where the rows of sharded tables lie."""

from __future__ import annotations

import pytest
import torch

from metaselector.common.errors import ConfigError
from metaselector.training.distributed.sharded.order import MOST_ROWS, RowOrder, block_of


@pytest.mark.parametrize("num_rows", [1, 2, 3, 4, 10, 89, 1000])
def test_every_row_has_a_place_of_its_own(num_rows: int) -> None:
    order = RowOrder(num_rows)
    places = order.places(torch.arange(num_rows))
    assert sorted(places.tolist()) == list(range(num_rows))
    assert torch.equal(order.ids(0, num_rows)[places], torch.arange(num_rows))


def test_large_products_do_not_overflow() -> None:
    order = RowOrder(MOST_ROWS)
    last = MOST_ROWS - 1
    (place,) = order.places(torch.tensor([last])).tolist()
    assert 0 <= place < MOST_ROWS
    assert order.ids(place, place + 1).tolist() == [last]
    with pytest.raises(ConfigError, match="of 3,000,000,001 rows exceeds the limit"):
        RowOrder(MOST_ROWS + 1)


@pytest.mark.parametrize("first", [0, 5_000, 800_000])
def test_the_ids_of_a_small_field_are_spread_over_all_workers(first: int) -> None:
    num_rows, workers, some = 1_000_000, 64, 6_400
    places = RowOrder(num_rows).places(torch.arange(first, first + some))
    size = block_of(num_rows, workers, 0)[1]
    counts = torch.bincount(places // size, minlength=workers)
    assert counts.max() <= 1.1 * some / workers
