"""Tables and figures of :mod:`benchmarks.communication` from what was measured."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.communication_cost import Cost, Load
from benchmarks.communication_network import WORKERS
from benchmarks.communication_worker import ALONE, Mark

Timed = Mapping[tuple[str, str, int], Sequence[Sequence[float]]]
"""Steps, each as a :class:`Mark` of its increases, by way, bandwidth and size of meta-batch."""
Trained = Mapping[tuple[str, int], Mapping[str, Any]]
UNLIMITED = "unlimited"
HALF = ("fp16", "bf16")
AT = (2, 8, 64)
"""Numbers of workers that costs are predicted for."""


def _of(steps: Sequence[Sequence[float]], field: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([step[Mark._fields.index(field)] for step in steps])


def median(steps: Sequence[Sequence[float]], field: str) -> float:
    """Of one field over steps; where the machine is busy, a mean says little."""
    return float(np.median(_of(steps, field)))


def mean(steps: Sequence[Sequence[float]], field: str) -> float:
    """The same where only some steps communicate."""
    return float(np.mean(_of(steps, field)))


def of_steps(steps: Sequence[Sequence[float]]) -> dict[str, Any]:
    """How many there are; mean and median of every field."""
    fields = {name: [mean(steps, name), median(steps, name)] for name in Mark._fields}
    return {"steps": len(steps), **fields}


def users_of(timed: Timed) -> int:
    """Size of two workers' meta-batches; twice as many are timed too."""
    return min(users for way, _, users in timed if way != ALONE)


def alone_seconds(timed: Timed, users: int, field: str = "cpu_seconds") -> float:
    """What one process takes for a meta-batch of `users`."""
    return median(timed[ALONE, UNLIMITED, users], field)


def load(timed: Timed, way: str, dense: str) -> Load:
    """What a step of one way asks of a worker; see :mod:`benchmarks.communication_cost`."""
    users = users_of(timed)
    steps = timed[way, UNLIMITED, users]
    gathered, width = mean(steps, "gathered"), 2 if way in HALF else 4
    reduced = _reduced(steps)
    return Load(
        compute=median(steps, "cpu_seconds"),
        reduced=reduced,
        gathered=gathered,
        reduces=mean(steps, "all_reduces"),
        gathers=mean(steps, "all_gathers"),
        whole=_reduced(timed[dense, UNLIMITED, users]) * width / 4 - reduced
        if gathered
        else math.inf,
    )


def _reduced(steps: Sequence[Sequence[float]]) -> float:
    """Bytes of tensors in all-reduces."""
    sent = mean(steps, "sent") - (WORKERS - 1) * mean(steps, "gathered")
    return sent * WORKERS / (2 * (WORKERS - 1))


def _trimmed(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.mean(np.sort(seconds)[: max(1, round(0.9 * len(seconds)))]))


def make(trained: Trained, timed: Timed, compared: pd.DataFrame, dense: str) -> pd.DataFrame:
    """A line for each way: bytes, seconds and quality."""
    users = users_of(timed)
    per_step = {way: _bytes(trained, way) for way, _ in trained}
    rows = []
    for way, name, at in timed:
        if way == ALONE or name != UNLIMITED or at != users:
            continue
        steps = timed[way, UNLIMITED, users]
        row = {
            "way": way,
            "bytes_per_step": per_step[way],
            "bytes_ratio": per_step[way] / per_step[dense],
            "counted_in_timed_steps": mean(steps, "sent"),
            "interface_in_timed_steps": mean(steps, "on_wire"),
            "collectives": mean(steps, "all_reduces") + mean(steps, "all_gathers"),
            "communication_seconds": mean(steps, "waiting"),
            "cpu_seconds": median(steps, "cpu_seconds"),
        }
        for other in dict.fromkeys(name for _, name, _ in timed):
            if (way, other, users) in timed:
                seconds = _trimmed(_of(timed[way, other, users], "seconds"))
                row[f"step_seconds {other}"] = seconds
        rows.append(row)
    return compared.merge(pd.DataFrame(rows), on="way", how="left")


def _bytes(trained: Trained, way: str) -> float:
    """Of a step, over whole trainings: warm-up and the averages before validations included."""
    of = [record for (each, _), record in trained.items() if each == way]
    return sum(record["sent"] for record in of) / max(1, sum(record["steps"] for record in of))


def figures(table: pd.DataFrame, timed: Timed, dense: str, default: str) -> dict[str, Any]:
    """What is published: the way with the fewest bytes whose loss of AUC could be chance.

    ``efficiency_2``: of the default way, users a second of two workers over twice those of one
    process with half of the meta-batch, by the clock; ``_processor``: by time of the processor;
    ``_best``: of the best way; see also :func:`efficiencies`.
    """
    sound = table[(table["way"] != dense) & (table["auc_high"] >= 0) & table["bytes_ratio"].gt(0)]
    best = sound.sort_values("bytes_ratio").iloc[0] if len(sound) else None
    users = users_of(timed)
    both = timed[default, UNLIMITED, users]
    found: dict[str, Any] = {
        "best": None if best is None else best["way"],
        "bytes_ratio_best": None if best is None else float(best["bytes_ratio"]),
        "auc_difference": None if best is None else float(best["auc_difference"]),
        "auc_interval": None if best is None else [float(best["auc_low"]), float(best["auc_high"])],
    }
    found["efficiency_2_processor"] = alone_seconds(timed, users // WORKERS) / median(
        both, "cpu_seconds"
    )
    by_clock = efficiencies(timed).set_index("way")["half"]
    found["efficiency_2"] = float(by_clock[default])
    found["efficiency_2_best"] = None if best is None else float(by_clock[best["way"]])
    return found


def efficiencies(timed: Timed) -> pd.DataFrame:
    """Users a second of two workers over twice those of one process, by the clock, by way.

    ``half``: the process takes half of the workers' meta-batch; ``whole``: the same, and the
    workers' is twice as large; ``strong``: both take the same. Of means over all steps, since some
    ways communicate in few of them.
    """

    def seconds(way: str, users: int) -> float:
        return mean(timed[way, UNLIMITED, users], "seconds")

    users, rows = users_of(timed), []
    one = {n: seconds(ALONE, n) for n in (users // WORKERS, users)}
    for way in dict.fromkeys(way for way, _, _ in timed if way != ALONE):
        two = {n: seconds(way, n) for n in (users, WORKERS * users)}
        rows.append(
            {
                "way": way,
                "half": one[users // WORKERS] / two[users],
                "whole": one[users] / two[WORKERS * users],
                "strong": one[users] / two[users] / WORKERS,
            }
        )
    return pd.DataFrame(rows)


def predictions(
    cost: Cost, loads: Mapping[str, Load], timed: Timed, bandwidths: Mapping[str, float | None]
) -> pd.DataFrame:
    """Seconds and efficiency at each of :data:`AT` workers, the users of a worker unchanged."""
    alone = alone_seconds(timed, users_of(timed) // WORKERS)
    rows = []
    for name, bandwidth in bandwidths.items():
        for way, each in loads.items():
            row: dict[str, object] = {"bandwidth": name, "way": way}
            for workers in AT:
                if bandwidth is not None:
                    seconds = cost.seconds(each, workers, bandwidth)
                    row[f"seconds_{workers}"] = seconds
                    row[f"efficiency_{workers}"] = alone / seconds
            rows.append(row)
    return pd.DataFrame(rows).dropna()


def summary(
    table: pd.DataFrame,
    found: Mapping[str, Any],
    timed: Timed,
    predicted: pd.DataFrame,
    cost: Cost,
    *,
    default: str,
    command: str,
) -> str:
    """All of it as Markdown."""
    users, efficient = users_of(timed), efficiencies(timed)
    speeds = [c.split(" ", 1)[1] for c in table.columns if c.startswith("step_seconds ")]
    lines = [
        "## What workers send each other",
        "",
        f"Command: `{command}`",
        "",
        f"Joint MetaSelector on MovieLens-100K, {WORKERS} workers of one thread. Bytes: of "
        "tensors, a worker and step of whole trainings. Δ: to dense gradients (`none`), 95 % "
        "interval of the paired bootstrap over users; the intervals do not hold what training "
        f"again would change, of which the line `{ALONE}` gives an idea: its gradients differ by "
        "rounding.",
        "",
        "| way | bytes | of dense | AUC | Δ AUC | Δ logloss |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for row in table.to_dict("records"):
        size = ("", "") if row["way"] == ALONE else _size(row)
        lines.append(
            f"| `{row['way']}` | {size[0]} | {size[1]} | {row['auc']:.4f} | "
            f"{_difference(row, 'auc')} | {_difference(row, 'logloss')} |"
        )
    lines += [
        "",
        "Milliseconds of a step, means without the slowest tenth, by cable. In collectives: of the "
        "unlimited cable, with waiting for the other worker, which is awake, and time of the "
        "processor, for up to 20 ms. Bytes at the interface hold headers, and an all-reduce of a "
        "few bytes for which nobody waits.",
        "",
        f"| way | {' | '.join(speeds)} | in collectives | processor | counted | at the interface |",
        "| --- |" + " ---: |" * (len(speeds) + 4),
    ]
    for row in table[table["way"] != ALONE].to_dict("records"):
        times = [row[f"step_seconds {name}"] for name in speeds]
        times += [row["communication_seconds"], row["cpu_seconds"]]
        counts = [row["counted_in_timed_steps"], row["interface_in_timed_steps"]]
        cells = [f"{1000 * each:.0f}" for each in times] + [f"{each:,.0f}" for each in counts]
        lines.append(f"| `{row['way']}` | {' | '.join(cells)} |")
    lines += [
        "",
        "### Two workers against one",
        "",
        "Users a second over twice those of one process, by the clock. By time of the processor, "
        f"the first figure of `{default}` is {found['efficiency_2_processor']:.2f}: the closer the "
        "two, the less others wanted the cores.",
        "",
        f"| way | one: {users // WORKERS} users, two: {users} | one: {users}, two: "
        f"{WORKERS * users} | both {users} |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| `{row['way']}` | {row['half']:.2f} | {row['whole']:.2f} | {row['strong']:.2f} |"
            for row in efficient.to_dict("records")
        ),
        "",
        "### Predicted",
        "",
        "Efficiency with as many users for each worker, by the fitted model: processor time (with "
        f"waits awake) + {1000 * cost.latency:.3f} ms a round of messages + "
        f"{cost.slowdown:.2f} times bytes / bandwidth; rings. Nothing of it was measured with "
        "more than two workers, and of `local-sgd` the exact steps at the start and the averages "
        "before validations are left out: over whole trainings it sends the bytes of the first "
        "table.",
        "",
        f"| bandwidth | way | {' | '.join(f'{n} workers' for n in AT)} |",
        "| --- | --- |" + " ---: |" * len(AT),
    ]
    for row in predicted.to_dict("records"):
        cells = [f"{row[f'efficiency_{n}']:.2f}" for n in AT]
        lines.append(f"| {row['bandwidth']} | `{row['way']}` | {' | '.join(cells)} |")
    lines += ["", "![Efficiency against the number of workers](efficiency.png)", ""]
    return "\n".join(lines)


def _size(row: Mapping[Any, Any]) -> tuple[str, str]:
    return f"{row['bytes_per_step']:,.0f}", f"{row['bytes_ratio']:.1%}".replace("%", " %")


def _difference(row: Mapping[Any, Any], metric: str) -> str:
    value, low, high = (row[f"{metric}_{part}"] for part in ("difference", "low", "high"))
    if value == low == high == 0:
        return ""
    text = f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return re.sub("-", "−", text)
