"""Tables and figures of :mod:`benchmarks.communication`, from its measurements."""

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
"""Steps by way, bandwidth and size of the meta-batch; each has the fields of :class:`Mark`."""
Trained = Mapping[tuple[str, int], Mapping[str, Any]]
UNLIMITED = "unlimited"
HALF = ("fp16", "bf16")
SPARSE = "sparse"
"""The default way."""
AT = (2, 8, 64)
"""Numbers of workers to predict costs for."""


def _of(steps: Sequence[Sequence[float]], field: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    return np.array([step[Mark._fields.index(field)] for step in steps])


def median(steps: Sequence[Sequence[float]], field: str) -> float:
    """Median of a field over steps; on a busy machine a mean says little."""
    return float(np.median(_of(steps, field)))


def mean(steps: Sequence[Sequence[float]], field: str) -> float:
    """Mean of a field over steps, for fields that are 0 in steps without communication."""
    return float(np.mean(_of(steps, field)))


def of_steps(steps: Sequence[Sequence[float]]) -> dict[str, Any]:
    """Number of steps, and mean and median of each field."""
    fields = {name: [mean(steps, name), median(steps, name)] for name in Mark._fields}
    return {"steps": len(steps), **fields}


def users_of(timed: Timed) -> int:
    """Size of the meta-batch of two workers; twice the size is timed too."""
    return min(users for way, _, users in timed if way != ALONE)


def alone_seconds(timed: Timed, users: int, field: str = "cpu_seconds") -> float:
    """Seconds of a single process for a meta-batch of `users`."""
    return median(timed[ALONE, UNLIMITED, users], field)


def load(timed: Timed, way: str, dense: str) -> Load:
    """Work of a worker in a step, for one way; see :mod:`benchmarks.communication_cost`."""
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
    """Bytes of the tensors that are all-reduced."""
    sent = mean(steps, "sent") - (WORKERS - 1) * mean(steps, "gathered")
    return sent * WORKERS / (2 * (WORKERS - 1))


def _trimmed(seconds: np.ndarray[Any, np.dtype[np.float64]]) -> float:
    return float(np.mean(np.sort(seconds)[: max(1, round(0.9 * len(seconds)))]))


def make(trained: Trained, timed: Timed, compared: pd.DataFrame, dense: str) -> pd.DataFrame:
    """Table with a row per way: bytes, seconds and metrics."""
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
    """Mean bytes per step of whole trainings, including warm-up and averaging before validation."""
    of = [record for (each, _), record in trained.items() if each == way]
    return sum(record["sent"] for record in of) / max(1, sum(record["steps"] for record in of))


def figures(table: pd.DataFrame, timed: Timed, dense: str, default: str) -> dict[str, Any]:
    """The published figures. The best way sends the fewest bytes without a significant loss of AUC.

    ``efficiency_2``: for the default way, users per second of two workers divided by twice those of
    a single process with half the meta-batch, by wall-clock time; ``_processor``: by processor
    time; ``_best``: for the best way. See also :func:`efficiencies`.
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
    """Users per second of two workers divided by twice those of a single process, by way.

    ``half``: the process has half the workers' meta-batch. ``whole``: likewise, with all
    meta-batches twice as large. ``strong``: both have the same meta-batch. Wall-clock means over
    all steps, since some ways communicate in few steps only.
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
    """Predicted seconds and efficiency for :data:`AT` workers, with constant users per worker."""
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
    predicted: pd.DataFrame | None,
    cost: Cost,
    *,
    default: str,
    command: str,
) -> str:
    """The page with all tables, in Markdown.

    Args:
        predicted: None if nothing was measured that more workers could be predicted from.
    """
    users, efficient = users_of(timed), efficiencies(timed)
    speeds = [c.split(" ", 1)[1] for c in table.columns if c.startswith("step_seconds ")]
    lines = [
        "## What workers send each other",
        "",
        f"Command: `{command}`",
        "",
        f"Joint MetaSelector on MovieLens-100K, {WORKERS} workers of one thread. Bytes: bytes of "
        "tensors per worker and step, over whole trainings. Δ: difference from dense gradients "
        "(`none`), with the 95 % interval of the paired bootstrap over users. The intervals do not "
        f"include the effect of training again; the row `{ALONE}` shows its size, as its gradients "
        "differ by rounding only.",
        "",
        "| way | bytes | of dense | of sparse | AUC | Δ AUC | Δ logloss |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    sparse = table.loc[table["way"] == SPARSE, "bytes_per_step"].max()
    for row in table.to_dict("records"):
        size = ("", "", "") if row["way"] == ALONE else _size(row, sparse)
        lines.append(
            f"| `{row['way']}` | {size[0]} | {size[1]} | {size[2]} | {row['auc']:.4f} | "
            f"{_difference(row, 'auc')} | {_difference(row, 'logloss')} |"
        )
    lines += [
        "",
        "Milliseconds per step by bandwidth, means without the slowest tenth. In collectives: with "
        "unlimited bandwidth, including waits for the other worker; waits of up to 20 ms are busy "
        "and count as processor time. Bytes at the interface include headers and an all-reduce of "
        "a few bytes that no worker waits for.",
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
        "Users per second divided by twice those of a single process, by wall-clock time. By "
        f"processor time, the first figure of `{default}` is "
        f"{found['efficiency_2_processor']:.2f}; the closer the two, the less other programs used "
        "the cores.",
        "",
        f"| way | one: {users // WORKERS} users, two: {users} | one: {users}, two: "
        f"{WORKERS * users} | both {users} |",
        "| --- | ---: | ---: | ---: |",
        *(
            f"| `{row['way']}` | {row['half']:.2f} | {row['whole']:.2f} | {row['strong']:.2f} |"
            for row in efficient.to_dict("records")
        ),
        "",
    ]
    if predicted is not None:
        lines += _predicted(predicted, cost)
    return "\n".join(lines)


def _predicted(predicted: pd.DataFrame, cost: Cost) -> list[str]:
    lines = [
        "### Predicted",
        "",
        "Efficiency with a constant number of users per worker, by the fitted model: processor "
        f"time (with busy waits) + {1000 * cost.latency:.3f} ms per round of messages + "
        f"{cost.slowdown:.2f} times bytes / bandwidth, for ring collectives. Nothing was measured "
        "with more than two workers. For `local-sgd` the prediction leaves out the exact steps at "
        "the start and the averaging before validation; whole trainings send the bytes of the "
        "first table.",
        "",
        f"| bandwidth | way | {' | '.join(f'{n} workers' for n in AT)} |",
        "| --- | --- |" + " ---: |" * len(AT),
    ]
    for row in predicted.to_dict("records"):
        cells = [f"{row[f'efficiency_{n}']:.2f}" for n in AT]
        lines.append(f"| {row['bandwidth']} | `{row['way']}` | {' | '.join(cells)} |")
    return [*lines, "", "![Efficiency against the number of workers](efficiency.png)", ""]


def _size(row: Mapping[Any, Any], sparse: float) -> tuple[str, str, str]:
    """Bytes per step, and their share of what ``none`` and what ``sparse`` sends."""
    sent = row["bytes_per_step"]
    shares = [f"{share:.1%}".replace("%", " %") for share in (row["bytes_ratio"], sent / sparse)]
    return f"{sent:,.0f}", shares[0], "" if math.isnan(sparse) else shares[1]


def _difference(row: Mapping[Any, Any], metric: str) -> str:
    value, low, high = (row[f"{metric}_{part}"] for part in ("difference", "low", "high"))
    if value == low == high == 0:
        return ""
    text = f"{value:+.4f} [{low:+.4f}, {high:+.4f}]"
    return re.sub("-", "−", text)
