"""Communication between workers: what they send, how long it takes, and the AUC of sending less.

    python -m benchmarks.communication --json benchmarks/results/communication/communication.json

trains MetaSelector on MovieLens-100K with two workers of one thread each, for every
``meta_train.comm`` in :data:`WAYS`. The workers are connected by a cable of several bandwidths
(:mod:`benchmarks.communication_network`). The base models are those of the first long table;
missing ones are trained first. Earlier trainings and timings are reused; they are kept in the run's
directory ``communication``, which must be removed after a change of the code. Few steps are timed,
in turns. On a busy machine processor times are more reliable than wall-clock times; both are kept.
"""

from __future__ import annotations

import json as json_format
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import communication_cost as cost_model
from benchmarks import communication_tables as tables
from benchmarks import measure
from benchmarks.command import (
    ConfigOption,
    JsonOption,
    RawFilesOption,
    SeedsOption,
    new_app,
    print_figures,
)
from benchmarks.command import run as run_app
from benchmarks.communication_launch import Job, Place, together
from benchmarks.communication_network import WORKERS, Network, cable
from benchmarks.communication_quality import compare
from benchmarks.communication_tables import UNLIMITED
from benchmarks.communication_worker import ALONE, BARE, learned_before, run_of
from metaselector.common.files import write_text
from metaselector.common.progress import Bars, Progress
from metaselector.config import load_config
from metaselector.report.figures import style
from metaselector.runs import environment
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models

DENSE = "none"
DEFAULT = "sparse"
WAYS = (
    DENSE,
    DEFAULT,
    "fp16",
    "bf16",
    "powersgd:1",
    "powersgd:2",
    "powersgd:4",
    "local-sgd:4",
    "local-sgd:16",
    "local-sgd:64",
)
NOT_DRAWN = ("fp16", "powersgd:2", "powersgd:4")
"""Lines that would hide those of ``bf16`` and ``powersgd:1``."""
BANDWIDTHS: dict[str, float | None] = {UNLIMITED: None, "1 Gbit/s": 1e9, "100 Mbit/s": 1e8}
TARGETS = {"bytes_ratio_best": "≤ 0.10", "efficiency_2": "≥ 0.9"}
CONFIG = Path(__file__).parent / "configs" / "tables.yaml"

app = new_app()


@app.command()
def main(
    json: JsonOption,
    run: Annotated[
        Path,
        typer.Option(help="Run whose data and base models are reused; results go inside it."),
    ] = Path("runs/movielens-100k-warm"),
    seeds: SeedsOption = 3,
    repeats: Annotated[int, typer.Option(min=1, help="Timed trainings of each kind.")] = 3,
    only: Annotated[
        list[str] | None,
        typer.Option(help="A way to communicate; may be repeated.", show_default="all"),
    ] = None,
    network: Annotated[
        bool,
        typer.Option(
            "--cable/--no-cable",
            help="Use a separate network with several bandwidths (needs root and iproute2), or "
            "the loopback device.",
        ),
    ] = True,
    config: ConfigOption = CONFIG,
    data: RawFilesOption = None,
) -> None:
    """Train, time and compare."""
    started = time.perf_counter()
    settings = load_config(config, changes={"seeds": list(range(seeds))})
    torch.set_num_threads(1)
    base, progress = Run(run, settings), Bars()
    if not base.data_directory.exists():
        prepare_run(base, data, Path("data"))
    pretrain_base_models(base, progress)
    ways = tuple(dict.fromkeys((DENSE, DEFAULT, *(only or WAYS))))
    place = Place(run, config, tuple(range(seeds)))
    users = settings.meta_train.users_per_batch
    with _joined(network) as net:
        trained = _train(base, place, net, ways, progress)
        timed = _time(place, net, ways, users, repeats, progress)
        bare = _bare(place, net, progress)
    compared = compare(base, (ALONE, *ways), DENSE)
    table = tables.make(trained, timed, compared, DENSE)
    figures = tables.figures(table, timed, DENSE, DEFAULT)
    cost = cost_model.fit(bare)
    loads = {way: tables.load(timed, way, DENSE) for way in ways}
    # Without bandwidths that were measured, there is nothing to predict from.
    predicted = tables.predictions(cost, loads, timed, BANDWIDTHS) if network else None
    made_with = environment.describe(
        seconds=time.perf_counter() - started,
        training_seconds=sum(each["seconds"] for each in trained.values()),
        threads=1,
        device=settings.device,
        data_sha256=base.dataset.digest(),
    )
    raw = {
        "workers": WORKERS,
        "interface": net.link,
        "cost": vars(cost),
        "all_reduces": [[each.load.reduced, each.bandwidth, each.seconds] for each in bare],
        "timed": {" | ".join(map(str, key)): tables.of_steps(each) for key, each in timed.items()},
    }
    where = {"machine": measure.machine(), "versions": measure.versions("numpy")}
    measure.save(json, figures | {"raw": raw} | where)
    folder = json.parent
    write_text(folder / "ways.csv", table.to_csv(index=False, float_format="%.6g"))
    write_text(folder / "environment.json", json_format.dumps(made_with, indent=1) + "\n")
    text = tables.summary(
        table,
        figures,
        timed,
        predicted,
        cost,
        default=DEFAULT,
        command=made_with["command"],
    )
    write_text(folder / "communication.md", text)
    if predicted is not None:
        write_text(folder / "predicted.csv", predicted.to_csv(index=False, float_format="%.6g"))
        shown = {name: width for name, width in BANDWIDTHS.items() if width}
        alone = tables.alone_seconds(timed, users // WORKERS)
        drawn = {way: each for way, each in loads.items() if way not in NOT_DRAWN}
        style.save(cost_model.figure(cost, drawn, alone, shown), folder / "efficiency.png")
    typer.echo(text)
    print_figures({key: figures[key] for key in TARGETS}, TARGETS)


@contextmanager
def _joined(network: bool) -> Iterator[Network]:
    if not network:
        yield Network()
        return
    with cable() as net:
        yield net


def _train(
    base: Run, place: Place, net: Network, ways: Sequence[str], progress: Progress
) -> dict[tuple[str, int], dict[str, Any]]:
    """Train each way with each seed to the end; records by way and seed."""
    jobs = [Job(way, seed) for seed in place.seeds for way in (ALONE, *ways)]
    found = {}
    with progress.task("train", len(jobs)) as advance:
        for job in jobs:
            workers = 1 if job.way == ALONE else WORKERS
            kept = learned_before(run_of(place.base, base.config, job.way), job.seed)
            if kept is None:
                (kept,) = together(place, net, workers, [job])
            found[job.way, job.seed] = kept
            advance()
    return found


def _time(
    place: Place,
    net: Network,
    ways: Sequence[str],
    users: int,
    repeats: int,
    progress: Progress,
) -> dict[tuple[str, str, int], list[list[float]]]:
    """Timed steps by way, bandwidth and size of the meta-batch, kept after each repeat."""
    seed, folder = place.seeds[0], place.base / "communication" / "timed"
    found: dict[tuple[str, str, int], list[list[float]]] = {}

    def do(repeat: int, name: str, workers: int, jobs: Sequence[Job]) -> None:
        file = folder / f"{repeat}-{workers}-{name.replace('/', ' per ')}.json"
        asked = [[job.way, job.users] for job in jobs]  # as JSON stores it
        kept = json_format.loads(file.read_text(encoding="utf-8")) if file.exists() else {}
        if kept.get("asked") != asked:
            kept = {"asked": asked, "made": together(place, net, workers, jobs)}
            write_text(file, json_format.dumps(kept))
        for job, made in zip(jobs, kept["made"], strict=True):
            found.setdefault((job.way, name, job.users or 0), []).extend(made["steps"])

    with progress.task("time steps", repeats * (1 + len(BANDWIDTHS))) as advance:
        for repeat in range(repeats):
            do(repeat, UNLIMITED, 1, [Job(ALONE, seed, n) for n in (users, users // WORKERS)])
            advance()
            for name, bandwidth in BANDWIDTHS.items():
                if net.namespaces or bandwidth is None:
                    net.limit(bandwidth)
                    # Also twice as many users, unless the cable limits the speed.
                    sizes = (users, WORKERS * users) if bandwidth is None else (users,)
                    do(repeat, name, WORKERS, [Job(way, seed, n) for n in sizes for way in ways])
                advance()
            net.limit(None)
    return found


def _bare(place: Place, net: Network, progress: Progress) -> list[cost_model.Measured]:
    """All-reduces without training, at each bandwidth."""
    found = []
    limits = BANDWIDTHS if net.namespaces else {UNLIMITED: None}
    with progress.task("time all-reduces", len(limits)) as advance:
        for bandwidth in limits.values():
            net.limit(bandwidth)
            (made,) = together(place, net, WORKERS, [Job(BARE, place.seeds[0])])
            found += [cost_model.all_reduce(size, bandwidth, each) for size, each in made]
            advance()
    # Without a bandwidth limit, memory limits the large ones.
    return [each for each in found if each.bandwidth or each.load.reduced < 1000]


if __name__ == "__main__":
    run_app(app)
