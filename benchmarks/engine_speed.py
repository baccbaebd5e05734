"""How fast users adapt, compared with higher, learn2learn and plain training.

``python -m benchmarks.engine_speed --json FILE``, after ``make peers``. A meta-step adapts all
parameters of LR, FM, DeepFM and the selector on each user's support (one step of Meta-SGD, one
learning rate per tensor, second order), then updates parameters and rates by the loss on the
queries. Users and rows are MovieLens-100K's. For larger tables the same ids are scattered over more
rows, so only the table size differs. Every task is timed with one thread and with two, and the
faster counts. Ours are steps of a long training, where they are recorded, and of a short one.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

from benchmarks import measure, movielens
from benchmarks.command import Timing, print_figures, print_table, run, timing_app
from benchmarks.engine_steps import QUERY, SUPPORT, USERS, Step, meta_step, peer_step, plain_step
from metaselector.data.encoded.dataset import EncodedDataset

WARM_UP = 5
PEAKS = 9
PEERS = ("higher", "learn2learn")
SIZES = {"5k": 5_000, "100k": 100_000, "1m": 1_000_000}
SMALL, LARGE = 10_000, 1_000_000
CURVE = (8, 16, 32, 64, 128, 256, 512)
"""Users of the meta-batches whose steps are compared with plain ones."""
PEER_USERS = {"5k": USERS, "100k": USERS, "1m": 4}
"""Users whose graphs a peer keeps at once; at a million rows, not all of them fit into memory."""
TARGETS = {
    "speedup_5k": "≥ 15",
    "speedup_100k": "≥ 60",
    "speedup_1m": "≥ 1,000",
    "flatness": "≤ 1.3",
    "meta_over_plain": "≤ 2.3",
    "first_order_over_plain": "≤ 1.4",
    "tiny_ms": "≤ 5",
    "memory_flatness": "≤ 1.1",
}


def peak_megabytes(task: Step, device: str) -> float | None:
    """Peak memory of a call of `task` above the memory held before it; median of several calls.

    On the CPU, as counted by the kernel; None if the kernel does not allow resetting the peak.
    """
    for _ in range(2):
        task()  # creates the optimizer's state
    peaks = [_peak_of_one_call(task, device) for _ in range(PEAKS)]
    known = [peak for peak in peaks if peak is not None]
    return measure.median(known) if known else None


def _peak_of_one_call(task: Step, device: str) -> float | None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        task()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the current value
    except (AttributeError, OSError):
        return None
    before = measure.held("VmRSS")
    task()
    return (measure.held("VmHWM") - before) / 2**10


def measure_peers(
    dataset: EncodedDataset, timing: Timing
) -> tuple[dict[str, dict[str, list[float]]], dict[str, dict[str, int]]]:
    """Seconds of meta-steps by table size and engine, and the threads that are fastest."""
    device, seconds, threads = timing.device, {}, {}
    for size, num_ids in SIZES.items():
        tasks = {
            "func": meta_step(dataset, num_ids, device),
            "func, not recorded": meta_step(dataset, num_ids, device, recorded=False),
        }
        for peer in PEERS:
            tasks[peer] = peer_step(dataset, num_ids, device, peer, PEER_USERS[size])
        seconds[size], threads[size] = timing.fastest(
            tasks,
            repeats=timing.repeats if size != "1m" else max(1, timing.repeats // 2),
            warm_up=0 if size == "1m" else 1,  # a peer's step takes a minute there
        )
    return seconds, threads


def measure_ourselves(
    dataset: EncodedDataset, timing: Timing
) -> tuple[dict[str, list[float]], dict[str, int]]:
    """Seconds of our steps, and the threads that are fastest."""
    device = timing.device
    tasks = {
        "meta 10k": meta_step(dataset, SMALL, device),
        "meta 1m": meta_step(dataset, LARGE, device),
        "first order 10k": meta_step(dataset, SMALL, device, second_order=False),
        "meta 10k, not recorded": meta_step(dataset, SMALL, device, recorded=False),
        "first order 10k, not recorded": meta_step(
            dataset, SMALL, device, second_order=False, recorded=False
        ),
        "plain 10k": plain_step(dataset, SMALL, device),
        "plain torch 10k": plain_step(dataset, SMALL, device, fast=False),
        "meta tiny": meta_step(dataset, SMALL, device, tiny=True),
        "meta tiny, not recorded": meta_step(dataset, SMALL, device, tiny=True, recorded=False),
        "plain tiny": plain_step(dataset, SMALL, device, tiny=True),
    }
    return timing.fastest(tasks, repeats=8 * timing.repeats, warm_up=WARM_UP)


def measure_curve(dataset: EncodedDataset, timing: Timing) -> dict[int, dict[str, list[float]]]:
    """Seconds of meta-steps and of plain steps on the same rows, by the users of a meta-batch."""
    device, curve = timing.device, {}
    for users in CURVE:
        tasks = {
            "meta": meta_step(dataset, SMALL, device, users=users),
            "first order": meta_step(dataset, SMALL, device, second_order=False, users=users),
            "plain": plain_step(dataset, SMALL, device, users=users),
        }
        curve[users], _ = timing.fastest(tasks, repeats=timing.repeats)
    return curve


def over_plain(curve: dict[int, dict[str, list[float]]]) -> dict[int, dict[str, float]]:
    """Meta-steps over plain steps, by the users of a meta-batch."""
    found = {}
    for users, seconds in curve.items():
        time = {name: measure.median(times) for name, times in seconds.items()}
        found[users] = {name: time[name] / time["plain"] for name in ("meta", "first order")}
    return found


def figures(
    peers: dict[str, dict[str, list[float]]],
    ours: dict[str, list[float]],
    memory: dict[str, float | None],
) -> dict[str, float | None]:
    """The published figures: ratios of times and of memory."""
    found: dict[str, float | None] = {}
    for size, by_engine in peers.items():
        best = min(measure.median(by_engine[peer]) for peer in PEERS)
        found[f"speedup_{size}"] = best / measure.median(by_engine["func"])
        plain = measure.median(by_engine["func, not recorded"])
        found[f"speedup_{size}_not_recorded"] = best / plain
    time = {name: measure.median(times) for name, times in ours.items()}
    found["flatness"] = time["meta 1m"] / time["meta 10k"]
    found["meta_over_plain"] = time["meta 10k"] / time["plain 10k"]
    found["first_order_over_plain"] = time["first order 10k"] / time["plain 10k"]
    found["tiny_ms"] = 1e3 * time["meta tiny"]
    found["meta_over_plain_torch"] = time["meta 10k"] / time["plain torch 10k"]
    small, large = memory["meta 10k"], memory["meta 1m"]
    found["memory_flatness"] = large / small if large and small else None
    return found


def show(peers: dict[str, dict[str, list[float]]], ours: dict[str, list[float]]) -> None:
    """Print the times."""
    times = {f"meta {size}, {name}": t for size, by in peers.items() for name, t in by.items()}
    rows = {name: [f"{1e3 * measure.median(t):,.1f}"] for name, t in (times | ours).items()}
    print_table("step", ["ms"], rows, "milliseconds, medians")


def time_engines(timing: Timing) -> None:
    """Time meta-steps."""
    device = timing.device
    dataset = movielens.load(timing.data)
    ours, threads = measure_ourselves(dataset, timing)
    memory = {
        name: peak_megabytes(meta_step(dataset, num_ids, device), device)
        for name, num_ids in (("meta 10k", SMALL), ("meta 1m", LARGE))
    }
    peers, threads_beside = measure_peers(dataset, timing)
    curve = measure_curve(dataset, timing)
    found = figures(peers, ours, memory)
    raw = {
        "seconds_beside_peers": peers,
        "seconds": ours,
        "threads_beside_peers": threads_beside,
        "threads": threads,
        "seconds_by_users": curve,
        "over_plain_by_users": over_plain(curve),
        "peak_megabytes": memory,
        "rows_per_step": USERS * (SUPPORT + QUERY),
        "users_at_once_of_peers": PEER_USERS,
    }
    timing.save(found, raw, PEERS)
    show(peers, ours)
    rows = {
        f"{users} users": [f"{ratio:.2f}" for ratio in ratios.values()]
        for users, ratios in over_plain(curve).items()
    }
    print_table("meta-batch", ["meta", "first order"], rows, "meta-step / plain step")
    print_figures(found, TARGETS)


if __name__ == "__main__":
    run(timing_app(time_engines))
