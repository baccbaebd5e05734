"""Meta-steps of several workers, with tables sharded over them or replicated on each.

``python -m benchmarks.sharded_rows --json FILE``. Workers are processes on this machine connected
by gloo over the loopback device. A step adapts all parameters of LR, FM, DeepFM and the selector
(one step of Meta-SGD, one learning rate per tensor, second order) on 40 support rows of each of 32
users, divided among the workers, and updates them by the loss on 100 query rows per user. Rows have
ten slots: the user, the item and the five items before it, scattered over V rows, and three fields
with few values.

Sharded tables are compared with replicas that exchange the gradients of touched rows by all-gather,
and with replicas that average whole gradients, the default of DistributedDataParallel.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from benchmarks import measure
from benchmarks.command import JsonOption, new_app, print_figures, print_table, run
from benchmarks.sharded_rows_worker import work

LARGEST_DENSE = 1_000_000
NAMES = {100_000: "100k", 1_000_000: "1m", 10_000_000: "10m"}
UNITS = ("ms", "cpu_ms", "sent_mb", "held_mb")

app = new_app()


def measure_workers(kind: str, num_ids: int, workers: int, repeats: int) -> list[dict[str, Any]]:
    """Measurements by worker; each is a separate process, so its memory can be measured."""
    context = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder:
        running = [
            context.Process(target=work, args=(kind, num_ids, rank, workers, folder, repeats))
            for rank in range(workers)
        ]
        for process in running:
            process.start()
        for process in running:
            process.join()
        return [
            json.loads(Path(f"{folder}/{rank}.json").read_text(encoding="utf-8"))
            for rank in range(workers)
        ]


def figures(raw: dict[str, dict[str, list[dict[str, Any]]]]) -> dict[str, float]:
    """The published figures: the slowest worker's time, and the most bytes sent or held by one."""
    found = {}
    for size, by_kind in raw.items():
        for kind, of_workers in by_kind.items():
            key = f"{kind}_{size}"
            slowest = max(measure.median(worker["seconds"]) for worker in of_workers)
            found[f"{key}_ms"] = 1e3 * slowest
            busiest = max(measure.median(worker["cpu_seconds"]) for worker in of_workers)
            found[f"{key}_cpu_ms"] = 1e3 * busiest  # hardly affected by other programs
            found[f"{key}_sent_mb"] = max(worker["bytes_sent"] for worker in of_workers) / 1e6
            found[f"{key}_held_mb"] = max(worker["megabytes"] for worker in of_workers)
    return found


@app.command()
def main(
    path: JsonOption,
    rows: Annotated[
        list[int] | None,
        typer.Option(help="Rows of the tables; repeatable.", show_default="10^5, 10^6 and 10^7"),
    ] = None,
    workers: Annotated[int, typer.Option(min=2, help="Number of processes.")] = 2,
    repeats: Annotated[int, typer.Option(min=1, help="Timed steps.")] = 20,
) -> None:
    """Time meta-steps of several workers."""
    sizes = rows or list(NAMES)
    raw: dict[str, dict[str, list[dict[str, Any]]]] = {}
    loads = [os.getloadavg()[0]]
    for num_ids in sizes:
        size = NAMES.get(num_ids, str(num_ids))
        kinds = ["sharded", "rows", *(["dense"] if num_ids <= LARGEST_DENSE else [])]
        raw[size] = {kind: measure_workers(kind, num_ids, workers, repeats) for kind in kinds}
    collectives = measure_workers("collectives", sizes[0], workers, repeats)
    found = figures(raw)
    for name, key in (("all-to-all", "all_to_all"), ("sum of all", "sum_of_all")):
        seconds = max(measure.median(worker[name]["seconds"]) for worker in collectives)
        found[f"rows_by_{key}_ms"] = 1e3 * seconds
        found[f"rows_by_{key}_sent_mb"] = max(w[name]["bytes_sent"] for w in collectives) / 1e6
    loads.append(os.getloadavg()[0])
    machine = measure.machine() | {"threads": 1, "workers": workers, "load_before_and_after": loads}
    measured = {**found, "raw": {"steps": raw, "collectives": collectives}}
    measure.save(path, {**measured, "machine": machine, "versions": measure.versions()})
    lines = {
        f"{size}, {kind}": [f"{found[f'{kind}_{size}_{unit}']:,.1f}" for unit in UNITS]
        for size, by_kind in raw.items()
        for kind in by_kind
    }
    print_table(
        "step",
        ["ms", "CPU ms", "MB sent", "MB held"],
        lines,
        f"per worker, {workers} workers, load {loads[0]:.1f} to {loads[1]:.1f}",
    )
    print_figures({key: value for key, value in found.items() if key.startswith("rows_by")}, {})


if __name__ == "__main__":
    run(app)
