"""Multi-task recommenders compared with single-task ones of the same structure, on real data.

    python -m benchmarks.multitask

writes ``benchmarks/results/multitask/<dataset>/``: AUC and logloss of each model on *test* for each
task where it is observed, over several seeds, and the gain over the control. The control has the
same structure, but an embedding, a bottom and a tower per task, and each task is trained and
stopped early alone (the base models ``single-<task>`` of the settings). All models are trained on
*train* and stopped early on *valid*; none is refitted. Models that are already trained with the
same settings are reused.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from itertools import product
from pathlib import Path
from typing import Annotated

import numpy as np
import pandas as pd
import torch
import typer
from torch import Tensor

from benchmarks import study
from benchmarks.command import OutputOption, RunsOption, SeedsOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Bars, Progress
from metaselector.config import load_config
from metaselector.data.splitting.windows import window_rows
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.training.predict import predict

CONFIGS = Path(__file__).parent / "configs"
DATASETS = ("movielens-100k-funnel", "census-income")
CONTROL = "single-task"
OF_CONTROL = "single-"
METRICS = ("auc", "logloss")

app = new_app()


@app.command()
def main(
    dataset: Annotated[
        list[str] | None,
        typer.Option(help="Data set; may be repeated.", show_default=" and ".join(DATASETS)),
    ] = None,
    seeds: SeedsOption = 5,
    runs: RunsOption = Path("runs/multitask"),
    data: Annotated[
        Path | None,
        typer.Option(
            help="Your own copy of the raw files; needs a single --dataset.",
            show_default="fetched into data/",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            help="YAML file of settings.",
            show_default="benchmarks/configs/multitask-<dataset>.yaml",
        ),
    ] = None,
    output: OutputOption = Path("benchmarks/results/multitask"),
) -> None:
    """Train each model with several seeds, test it, and compare it with the control."""
    chosen = dataset or list(DATASETS)
    if len(chosen) > 1 and (data or config):
        raise UserError("--data and --config need a single data set; name it with --dataset")
    for name in chosen:
        if name not in DATASETS:
            raise UserError(f"--dataset {name}: unknown data set; {nearest(name, DATASETS)}")
        path = config or CONFIGS / f"multitask-{name}.yaml"
        settings = load_config(path, changes={"seeds": list(range(seeds)), "dataset": name})
        torch.set_num_threads(settings.threads)
        _tabulate(Run(runs / name, settings), data, output / name)


def _tabulate(run: Run, data: Path | None, output: Path) -> None:
    started, progress = time.perf_counter(), Bars()
    if data is not None or not run.data_directory.exists():
        prepare_run(run, data, Path("data"))
    pretrain_base_models(run, progress, ("train",))
    table = compare(predictions(run), run.config.evaluate.resamples, progress)
    seconds: dict[str, float] = {}
    for name, seed in product(run.config.base_models, run.config.seeds):
        row = CONTROL if name.startswith(OF_CONTROL) else name
        seconds[row] = (
            seconds.get(row, 0.0) + run.checkpoints.base_record(name, "train", seed).seconds
        )
    table["training_seconds"] = table["model"].map(seconds) / len(run.config.seeds)
    described = study.describe(run, started, sum(seconds.values()))
    save_config(run)
    texts = {
        "multitask.csv": table.to_csv(index=False),
        "multitask.md": markdown(table, run.dataset.schema.dataset, described["command"]),
        "config.yaml": (run.directory / "config.yaml").read_text(encoding="utf-8"),
    }
    study.write_results(output, texts, described)


def predictions(run: Run) -> pd.DataFrame:
    """Long table of predictions on *test*.

    Each task has the rows where it is observed. A task after another also has a combined task,
    both together, with all rows.
    """
    dataset, schema = run.dataset, run.dataset.schema
    rows = window_rows(dataset.user_offsets, run.config.split.valid, 100)
    labels = dataset.task_labels[rows].astype(np.float64)  # [n, T]
    users = np.asarray(dataset.user_names, dtype=object)[dataset.users[rows]]
    frames = []
    for seed in run.config.seeds:
        outputs = {
            name: predict(run.checkpoints.load_base(name, "train", seed), dataset, rows)  # [n, T]
            for name in run.config.base_models
        }
        for name, logits in with_control(outputs, schema.tasks).items():
            p = torch.sigmoid(logits.double()).numpy()
            columns = {task: (labels[:, t], p[:, t]) for t, task in enumerate(schema.tasks)}
            for t, parent in enumerate(schema.parents):
                if parent is not None:
                    both = f"{schema.tasks[parent]} and {schema.tasks[t]}"
                    happened = labels[:, parent] * np.nan_to_num(labels[:, t])
                    columns[both] = happened, p[:, parent] * p[:, t]
            for task, (y, predicted) in columns.items():
                seen = ~np.isnan(y)
                frames.append(
                    pd.DataFrame(
                        {
                            "seed": seed,
                            "model": name,
                            "user": users[seen],
                            "row": dataset.source_rows[rows[seen]],
                            "task": task,
                            "y": y[seen],
                            "p": predicted[seen],
                        }
                    )
                )
    return pd.concat(frames, ignore_index=True)


def with_control(outputs: Mapping[str, Tensor], tasks: Sequence[str]) -> dict[str, Tensor]:
    """Outputs ``[n, T]`` by row of the table; the control's come from one model per task.

    Raises:
        UserError: a task has no single-task model.
    """
    for task in tasks:
        if OF_CONTROL + task not in outputs:
            raise UserError(f"the settings have no base model '{OF_CONTROL}{task}'; add it")
    own = [outputs[OF_CONTROL + task][:, t] for t, task in enumerate(tasks)]
    shared = {name: each for name, each in outputs.items() if not name.startswith(OF_CONTROL)}
    return {CONTROL: torch.stack(own, -1)} | shared


def compare(predicted: pd.DataFrame, resamples: int, progress: Progress) -> pd.DataFrame:
    """Metrics of each model and task, and the gain over the control.

    Returns:
        A row per model, task and metric: ``mean`` and ``std`` over seeds; ``gain``, the improvement
        over the control averaged over seeds; ``low`` to ``high``, its 95 % interval by the paired
        bootstrap over users. The last three are nan for the control.
    """
    records = []
    seeds = list(dict.fromkeys(predicted["seed"]))
    for task, of_task in predicted.groupby("task", sort=False):
        scores = resample(of_task, METRICS, resamples, np.random.default_rng(0), progress)
        for model in dict.fromkeys(of_task["model"]):
            for metric in METRICS:
                values = [scores[metric][seed, model][0] for seed in seeds]
                record = {"model": model, "task": task, "metric": metric, "mean": np.mean(values)}
                record["std"] = np.std(values, ddof=1) if len(seeds) > 1 else np.nan
                if model != CONTROL:
                    pair = (model, CONTROL) if metric == "auc" else (CONTROL, model)
                    found = difference(scores[metric], dict.fromkeys(seeds, pair))
                    record |= {"gain": found.difference, "low": found.low, "high": found.high}
                records.append(record)
    return pd.DataFrame(records, columns=[*records[0], "gain", "low", "high"])


def transfer(gains: Sequence[tuple[str, float, float, float]]) -> str:
    """The effect of sharing on the tasks, in words.

    Negative transfer is a gain below 0. A seesaw is a gain above 0 for one task and below 0 for
    another (Tang et al., "Progressive Layered Extraction", RecSys 2020).

    Args:
        gains: name, gain and ends of the interval for each task.
    """
    losers = [(task, high < 0) for task, gain, _, high in gains if gain < 0]
    winners = [task for task, gain, _, _ in gains if gain > 0]
    if not losers:
        return "gain on all" if len(winners) == len(gains) else ""
    named = ", ".join(task + ("" if sure else " (unsure)") for task, sure in losers)
    return f"seesaw: {named} loses" if winners else f"negative transfer: {named}"


def markdown(table: pd.DataFrame, dataset: str, command: str) -> str:
    """The table of AUC by model; logloss and training seconds are in the CSV file."""
    of_auc = table[table["metric"] == "auc"]
    tasks = list(dict.fromkeys(of_auc["task"]))
    own = [task for task in tasks if " and " not in task]
    lines = [
        f"## Multi-task models, {dataset}",
        "",
        "AUC on test, mean ± standard deviation over seeds. gain: difference from "
        f"{CONTROL}, averaged over seeds, with the 95 % interval of the paired bootstrap over "
        "users, not corrected for the number of models. A loss is unsure if its interval includes "
        "0. Tasks are evaluated on the rows where they are observed"
        + (", combined tasks on all rows." if len(own) < len(tasks) else "."),
        "",
        f"Command: `{command}`",
        "",
        "| model | " + " | ".join(f"{task} | gain" for task in tasks) + " | transfer |",
        "|---|" + "---:|---:|" * len(tasks) + "---|",
    ]
    for model, rows in of_auc.groupby("model", sort=False):
        cells = [str(model)]
        by_task = rows.set_index("task")
        for task in tasks:
            mean, std, gain, low, high = by_task.loc[task, ["mean", "std", "gain", "low", "high"]]
            cells.append(f"{mean:.4f}" + ("" if np.isnan(std) else f" ± {std:.4f}"))
            shown = f"{gain:+.4f} [{low:+.4f}, {high:+.4f}]"
            cells.append("" if model == CONTROL else shown)
        gains = [(task, *by_task.loc[task, ["gain", "low", "high"]]) for task in own]
        cells.append("the control" if model == CONTROL else transfer(gains))
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    run_app(app)
