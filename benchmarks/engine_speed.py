"""How fast users adapt, beside higher and learn2learn, and beside plain training.

``python -m benchmarks.engine_speed --json FILE``, after ``make peers``. A meta-step adapts all
parameters of LR, FM, DeepFM and the selector on each user's support (one step of Meta-SGD, a rate a
tensor, second order), then updates parameters and rates by the loss on the queries. The users and
rows are MovieLens-100K's; for larger tables, the same ids are scattered over more rows, so that
nothing but the size of the tables differs.
"""

from __future__ import annotations

import ctypes
import gc
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from benchmarks import measure, movielens
from benchmarks.command import (
    DataOption,
    DeviceOption,
    JsonOption,
    RepeatsOption,
    ThreadsOption,
    new_app,
    print_figures,
    print_table,
    run,
)
from metaselector.config import Config
from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.episodes import (
    EpisodeRows,
    Episodes,
    Rows,
    load_episodes,
    rows_around,
)
from metaselector.meta.adapt.adaptation import Adaptation
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.adapt.rules import MetaSGD
from metaselector.meta.optimizers import outer_optimizers
from metaselector.models import registry
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.losses import mean_loss
from metaselector.models.mixture import Mixture
from metaselector.models.selector import GatedSelector

USERS, SUPPORT, QUERY = 32, 20, 20
RATE = 0.05
WARM_UP = 5
PEAKS = 9
PEERS = ("higher", "learn2learn")
SIZES = {"5k": 5_000, "100k": 100_000, "1m": 1_000_000}
SMALL, LARGE = 10_000, 1_000_000
PEER_USERS = {"5k": USERS, "100k": USERS, "1m": 4}
"""Users whose graphs a peer keeps at once: all of them do not fit into memory at a million rows."""
TARGETS = {
    "speedup_5k": "≥ 10",
    "speedup_100k": "≥ 50",
    "speedup_1m": "≥ 400",
    "flatness": "≤ 1.3",
    "meta_over_plain": "≤ 2.5",
    "first_order_over_plain": "≤ 1.5",
    "memory_flatness": "≤ 1.1",
}

app = new_app()
Task = Callable[[], object]


def make_mixture(dataset: EncodedDataset, num_ids: int, device: str) -> Mixture:
    """Untrained LR, FM and DeepFM (D = 16) under a selector, with tables of `num_ids` rows."""
    slot_fields = dataset.schema.slot_fields
    torch.manual_seed(0)
    models = {
        "lr": registry.model_class("lr")(num_ids, slot_fields),
        "fm": registry.model_class("fm")(num_ids, slot_fields, embedding_size=16),
        "deepfm": registry.model_class("deepfm")(
            num_ids, slot_fields, embedding_size=16, hidden_sizes=(64, 64)
        ),
    }
    return Mixture(models, GatedSelector(num_ids, slot_fields, len(models))).to(device).eval()


def sample_episodes(
    dataset: EncodedDataset, num_ids: int, device: str, *, tiny: bool = False
) -> Episodes:
    """Support and query of random users that fill both, the ids scattered over `num_ids` rows.

    Args:
        tiny: two users with two rows of both kinds, so that overhead is all there is to time.
    """
    generator = np.random.default_rng(0)
    counts = np.diff(dataset.user_offsets)
    users = generator.choice(np.flatnonzero(counts >= SUPPORT + QUERY), USERS, replace=False)
    first, stop = dataset.user_offsets[users], dataset.user_offsets[users + 1]
    cut = generator.integers(first + SUPPORT, stop - QUERY + 1)
    rows = rows_around(users, first, cut, stop, SUPPORT, QUERY)
    known = dataset.schema.num_ids
    scattered = 1 + generator.choice(num_ids - 1, known - 1, replace=False)
    new_id = torch.from_numpy(np.concatenate([[0], scattered]))  # 0 stays the padding id

    def scatter(rows: Rows) -> Rows:
        return Rows(Batch(new_id[rows.batch.ids], rows.batch.values), rows.labels, rows.mask)

    if tiny:
        rows = EpisodeRows(rows.users[:2], rows.support[:2, :2], rows.query[:2, :2])
    episodes = load_episodes(dataset, rows)
    return Episodes(scatter(episodes.support), scatter(episodes.query)).to(device)


def make_adaptation(mixture: Mixture, *, second_order: bool = True) -> Adaptation:
    """One step of Meta-SGD with a rate a tensor, on everything."""
    rule = MetaSGD(RATE, second_order=second_order)
    return Adaptation(rule, 1, tuple(name for name, _ in mixture.named_parameters()))


def meta_step(
    dataset: EncodedDataset,
    num_ids: int,
    device: str,
    *,
    second_order: bool = True,
    tiny: bool = False,
) -> Task:
    """Our meta-step, as the meta-trainer makes it."""
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device, tiny=tiny)
    adaptation = make_adaptation(mixture, second_order=second_order)
    rates = adaptation.rule.init(dict(mixture.named_parameters()))
    episode = EpisodeLoss(mixture, rates, adaptation, make_engine("func"), mean_loss)
    optimizers = outer_optimizers(mixture, episode, Config().meta_train)

    def step() -> None:
        episode.zero_grad(set_to_none=True)
        episode.accumulate_gradients(episodes, USERS)
        for optimizer in optimizers:
            optimizer.step()

    return step


def peer_step(dataset: EncodedDataset, num_ids: int, device: str, peer: str, users: int) -> Task:
    """The same step through another library, user by user on whole tables.

    Args:
        users: whose graphs are kept at once.
    """
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device)
    adaptation = make_adaptation(mixture)
    params: dict[str, Tensor] = dict(mixture.named_parameters())
    rates = {name: rate.requires_grad_() for name, rate in adaptation.rule.init(params).items()}
    engine = make_engine(peer)
    optimizer = torch.optim.Adam([*params.values(), *rates.values()], lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        for chunk in episodes.split(users):
            output = engine(mixture, params, rates, adaptation, chunk, mean_loss)
            loss = mean_loss(output, chunk.query.labels, chunk.query.mask)
            (loss * len(chunk.query.labels) / USERS).backward()
        optimizer.step()

    return step


def plain_step(
    dataset: EncodedDataset, num_ids: int, device: str, *, fast: bool = True, tiny: bool = False
) -> Task:
    """Ordinary training of the same model on the same rows, without adaptation.

    Args:
        fast: as our pretraining does it; otherwise with nothing of ours but the model.
    """
    mixture = make_mixture(dataset, num_ids, device)
    episodes = sample_episodes(dataset, num_ids, device, tiny=tiny)
    parts = [episodes.support, episodes.query]
    slots = zip(*(part.batch.flatten() for part in parts), strict=True)
    batch = Batch(*(torch.cat(both) for both in slots))
    labels = torch.cat([part.labels.flatten() for part in parts])
    mask = torch.ones_like(labels)
    optimizer = torch.optim.Adam(mixture.parameters(), lr=1e-3, fused=True)

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with Intercept(Lookups().handlers) if fast else nullcontext():
            output = mixture(batch)
        mean_loss(output, labels, mask).backward()
        optimizer.step()

    return step


def peak_megabytes(task: Task, device: str) -> float | None:
    """Most memory that a call of `task` holds beyond what is held before it, median of calls.

    On the CPU, what the kernel counts; None where it does not let us reset that.
    """
    for _ in range(2):
        task()  # makes the optimizer's state
    peaks = [_peak_of_one_call(task, device) for _ in range(PEAKS)]
    known = [peak for peak in peaks if peak is not None]
    return measure.median(known) if known else None


def _peak_of_one_call(task: Task, device: str) -> float | None:
    gc.collect()
    if device.startswith("cuda"):
        torch.cuda.empty_cache()
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        task()
        return (torch.cuda.max_memory_allocated() - before) / 2**20
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak to the present
    except (AttributeError, OSError):
        return None
    before = measure.held("VmRSS")
    task()
    return (measure.held("VmHWM") - before) / 2**10


def measure_peers(dataset: EncodedDataset, device: str, repeats: int) -> dict[str, dict[str, Any]]:
    """Seconds of meta-steps by size of the tables and by engine."""
    seconds = {}
    for size, num_ids in SIZES.items():
        tasks = {"func": meta_step(dataset, num_ids, device)}
        for peer in PEERS:
            tasks[peer] = peer_step(dataset, num_ids, device, peer, PEER_USERS[size])
        seconds[size] = measure.interleaved(
            tasks,
            repeats=repeats if size != "1m" else max(1, repeats // 2),
            warm_up=0 if size == "1m" else 1,  # there a step of a peer takes a minute
            device=device,
        )
    return seconds


def measure_ourselves(dataset: EncodedDataset, device: str, repeats: int) -> dict[str, list[float]]:
    """Seconds of our steps."""
    tasks = {
        "meta 10k": meta_step(dataset, SMALL, device),
        "meta 1m": meta_step(dataset, LARGE, device),
        "first order 10k": meta_step(dataset, SMALL, device, second_order=False),
        "plain 10k": plain_step(dataset, SMALL, device),
        "plain torch 10k": plain_step(dataset, SMALL, device, fast=False),
        "meta tiny": meta_step(dataset, SMALL, device, tiny=True),
        "plain tiny": plain_step(dataset, SMALL, device, tiny=True),
    }
    return measure.interleaved(tasks, repeats=repeats, warm_up=WARM_UP, device=device)


def figures(
    peers: dict[str, dict[str, list[float]]],
    ours: dict[str, list[float]],
    memory: dict[str, float | None],
) -> dict[str, float | None]:
    """What is published of the times and the memory."""
    found: dict[str, float | None] = {}
    for size, by_engine in peers.items():
        best = min(measure.median(by_engine[peer]) for peer in PEERS)
        found[f"speedup_{size}"] = best / measure.median(by_engine["func"])
    time = {name: measure.median(times) for name, times in ours.items()}
    found["flatness"] = time["meta 1m"] / time["meta 10k"]
    found["meta_over_plain"] = time["meta 10k"] / time["plain 10k"]
    found["first_order_over_plain"] = time["first order 10k"] / time["plain 10k"]
    found["meta_over_plain_torch"] = time["meta 10k"] / time["plain torch 10k"]
    small, large = memory["meta 10k"], memory["meta 1m"]
    found["memory_flatness"] = large / small if large and small else None
    return found


def show(peers: dict[str, dict[str, list[float]]], ours: dict[str, list[float]]) -> None:
    """Print the times."""
    times = {f"meta {size}, {name}": t for size, by in peers.items() for name, t in by.items()}
    rows = {name: [f"{1e3 * measure.median(t):,.1f}"] for name, t in (times | ours).items()}
    print_table("step", ["ms"], rows, "milliseconds, medians")


@app.command()
def main(
    json: JsonOption,
    data: DataOption = None,
    device: DeviceOption = "cpu",
    threads: ThreadsOption = 2,
    repeats: RepeatsOption = 5,
) -> None:
    """Time meta-steps."""
    torch.set_num_threads(threads)
    dataset = movielens.load(data)
    ours = measure_ourselves(dataset, device, repeats=8 * repeats)
    memory = {
        name: peak_megabytes(meta_step(dataset, num_ids, device), device)
        for name, num_ids in (("meta 10k", SMALL), ("meta 1m", LARGE))
    }
    peers = measure_peers(dataset, device, repeats)
    found = figures(peers, ours, memory)
    raw = {
        "seconds_beside_peers": peers,
        "seconds": ours,
        "peak_megabytes": memory,
        "rows_per_step": USERS * (SUPPORT + QUERY),
        "users_at_once_of_peers": PEER_USERS,
    }
    where = {"machine": measure.machine(device), "versions": measure.versions(*PEERS)}
    measure.save(json, {**found, "raw": raw, **where})
    show(peers, ours)
    print_figures(found, TARGETS)


if __name__ == "__main__":
    run(app)
