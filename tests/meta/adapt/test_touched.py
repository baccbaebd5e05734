"""Remapped ids point back at the original ones."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metaselector.data.encoded.batch import Batch
from metaselector.data.splitting.episodes import Episodes, Rows
from metaselector.meta.adapt.touched import rows_of_batch, rows_of_users
from metaselector.models.kernels.rows import take_rows


def rows_of(ids: Tensor) -> Rows:
    shape = ids.shape[:2]
    batch = Batch(ids, torch.rand(ids.shape))
    return Rows(batch, torch.ones(shape), torch.ones(shape), -torch.rand(shape))


@st.composite
def episodes(draw: st.DrawFn) -> Episodes:
    users, support, query, slots = (draw(st.integers(1, 4)) for _ in range(4))
    highest = draw(st.sampled_from([0, 3, 50, 2**31]))
    count = users * (support + query) * slots
    values = draw(st.lists(st.integers(0, highest), min_size=count, max_size=count))
    ids = torch.tensor(values).reshape(users, support + query, slots)
    alike = torch.rand(users, query, support, 2)
    return Episodes(rows_of(ids[:, :support]), rows_of(ids[:, support:]), alike)


def all_ids(episodes: Episodes) -> Tensor:
    """``[U, (S + Q) * C]``."""
    return torch.cat([episodes.support.batch.ids, episodes.query.batch.ids], dim=1).flatten(1)


@given(episodes())
def test_local_ids_index_the_original_ones(original: Episodes) -> None:
    rows, local = rows_of_users(original)
    assert torch.equal(rows.gather(1, all_ids(local)), all_ids(original))


@given(episodes())
def test_rows_are_0_and_the_distinct_ids_in_order_then_zeros(original: Episodes) -> None:
    rows, _ = rows_of_users(original)
    distinct = [sorted({0, *ids.tolist()}) for ids in all_ids(original)]
    length = max(map(len, distinct))
    assert rows.tolist() == [ids + [0] * (length - len(ids)) for ids in distinct]


@given(episodes())
def test_all_but_the_ids_stays_as_it_is(original: Episodes) -> None:
    _, local = rows_of_users(original)
    for new, old in ((local.support, original.support), (local.query, original.query)):
        assert new.batch.ids.shape == old.batch.ids.shape
        assert new.batch.values is old.batch.values
        assert new.labels is old.labels
        assert new.mask is old.mask


def test_by_hand() -> None:
    support = torch.tensor([[[7, 0]], [[3, 3]]])
    query = torch.tensor([[[9, 7]], [[3, 3]]])
    rows, local = rows_of_users(Episodes(rows_of(support), rows_of(query)))
    assert rows.tolist() == [[0, 7, 9], [0, 3, 0]]
    assert local.support.batch.ids.tolist() == [[[1, 0]], [[1, 1]]]
    assert local.query.batch.ids.tolist() == [[[2, 1]], [[1, 1]]]


@given(episodes())
def test_rows_of_a_batch_are_0_and_all_distinct_ids(original: Episodes) -> None:
    rows, local = rows_of_batch(original)
    assert rows.tolist() == sorted({0, *all_ids(original).flatten().tolist()})
    assert torch.equal(rows[all_ids(local)], all_ids(original))


def test_taken_rows_have_a_sparse_gradient_that_equals_the_dense_one() -> None:
    table = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)
    rows, factor = torch.tensor([0, 2, 5]), torch.randn(3, 2, 3, dtype=torch.float64)
    taken = take_rows(table, rows)
    assert torch.equal(taken, table[rows])
    (sparse,) = torch.autograd.grad((taken * factor).sum(), table)
    (dense,) = torch.autograd.grad((table[rows] * factor).sum(), table)
    assert sparse.is_sparse
    assert sparse.is_coalesced()
    assert sparse.indices().tolist() == [[0, 2, 5]]
    assert torch.equal(sparse.to_dense(), dense)


@given(episodes())
def test_only_ids_change(original: Episodes) -> None:
    for touched in (rows_of_batch, rows_of_users):
        local = touched(original).episodes
        assert local.similarity is original.similarity
        for now, before in ((local.support, original.support), (local.query, original.query)):
            assert now.hours is before.hours
            assert now.labels is before.labels
            assert now.mask is before.mask
            assert now.batch.values is before.batch.values
