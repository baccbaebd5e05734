"""The benchmark of sharded tables, with one worker in this process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch.distributed.device_mesh import DeviceMesh

from benchmarks import sharded_rows
from benchmarks import sharded_rows_worker as worker


@pytest.fixture
def mesh(tmp_path: Path) -> Iterator[DeviceMesh]:
    store = dist.FileStore(str(tmp_path / "store"), 1)
    dist.init_process_group("gloo", store=store, rank=0, world_size=1)
    yield DeviceMesh("cpu", [0])
    dist.destroy_process_group()


@pytest.mark.parametrize("kind", ["sharded", "rows", "dense"])
def test_a_step_runs(kind: str, mesh: DeviceMesh, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"USERS": 2, "SUPPORT": 3, "QUERY": 4}.items():
        monkeypatch.setattr(worker, name, value)
    step, touched = worker.make_step(kind, 200, mesh)
    step()
    assert 10 < touched <= 2 * 7 * worker.SLOTS + 1


def test_users_differ_between_workers_and_ids_are_in_the_table() -> None:
    first, second = (worker.make_episodes(1_000, rank, 2) for rank in range(2))
    ids = first.query.batch.ids
    assert ids.shape == (worker.USERS // 2, worker.QUERY, worker.SLOTS)
    assert not torch.equal(ids, second.query.batch.ids)
    assert 1 <= ids.min() <= ids.max() < 1_000


def test_figures_are_those_of_the_slowest_worker() -> None:
    workers = [
        {"seconds": [s], "cpu_seconds": [s / 2], "bytes_sent": 1e6 * s, "megabytes": 10 * s}
        for s in (1.0, 2.0)
    ]
    found = sharded_rows.figures({"1m": {"sharded": workers}})
    assert found == {
        "sharded_1m_ms": 2000,
        "sharded_1m_cpu_ms": 1000,
        "sharded_1m_sent_mb": 2,
        "sharded_1m_held_mb": 20,
    }
