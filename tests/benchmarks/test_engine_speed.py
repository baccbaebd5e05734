"""Figures of the engine's benchmark, and its measure of memory."""

from __future__ import annotations

import pytest
import torch

from benchmarks import engine_speed

QUIET = {
    "meta 10k": 2.0,
    "meta 1m": 3.0,
    "first order 10k": 1.0,
    "plain 10k": 0.5,
    "meta tiny": 0.25,
}


def test_figures_are_ratios_of_medians() -> None:
    peers = {
        "5k": {
            "func": [1.0],
            "func, not recorded": [2.0],
            "higher": [30.0, 10.0, 20.0],
            "learn2learn": [15.0, 15.0],
        },
        "100k": {
            "func": [2.0],
            "func, not recorded": [2.0],
            "higher": [8.0],
            "learn2learn": [12.0],
        },
    }
    ours = {name: [seconds] for name, seconds in (QUIET | {"plain torch 10k": 4.0}).items()}
    found = engine_speed.figures(peers, ours, {"meta 10k": 10.0, "meta 1m": 11.0})
    assert found == {
        "speedup_5k": 15.0,
        "speedup_5k_not_recorded": 7.5,
        "speedup_100k": 4.0,
        "speedup_100k_not_recorded": 4.0,
        "flatness": 1.5,
        "meta_over_plain": 4.0,
        "first_order_over_plain": 2.0,
        "tiny_ms": 250.0,
        "meta_over_plain_torch": 0.5,
        "memory_flatness": 1.1,
    }


def test_memory_that_cannot_be_measured_is_none() -> None:
    ours = {name: [seconds] for name, seconds in (QUIET | {"plain torch 10k": 4.0}).items()}
    memory = {"meta 10k": None, "meta 1m": 1.0}
    assert engine_speed.figures({}, ours, memory)["memory_flatness"] is None


def test_peak_memory_sees_what_a_task_takes() -> None:
    def task() -> None:
        torch.ones(2**24)  # 64 MiB

    found = engine_speed.peak_megabytes(task, "cpu")
    if found is None:
        pytest.skip("the kernel does not let a process reset its peak memory")
    assert 60 < found < 80


def test_curve_is_over_plain_steps_of_as_many_users() -> None:
    seconds = {"meta": [9.0, 6.0, 3.0], "first order": [3.0], "plain": [2.0]}
    assert engine_speed.over_plain({8: seconds, 64: {**seconds, "plain": [1.0]}}) == {
        8: {"meta": 3.0, "first order": 1.5},
        64: {"meta": 6.0, "first order": 3.0},
    }
