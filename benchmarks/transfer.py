"""Transfer from a data set with many users to one with few, compared with training from scratch.

    python -m benchmarks.transfer --seeds 5

writes ``benchmarks/results/transfer/``. The target is a tenth of the users of MovieLens-100K, drawn
as in the protocol for new users; their later rows are predicted. Transferred models start from
models trained on the other users' rows. Models that are already trained are reused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import pandas as pd
import torch
import typer
from numpy.typing import NDArray

from benchmarks import study
from benchmarks.command import DataOption, OutputOption, RunsOption, SeedsOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.progress import Bars, Progress
from metaselector.config import change_config
from metaselector.data.interactions import Interactions, InteractionTable
from metaselector.data.splitting.protocol import Window
from metaselector.data.splitting.windows import user_places
from metaselector.evaluate.bootstrap import difference, resample
from metaselector.evaluate.metrics import METRICS
from metaselector.evaluate.predictions import long_table
from metaselector.report.summary import p_text
from metaselector.runs.run import Run
from metaselector.runs.saved_config import save_config
from metaselector.runs.stages.train import pretrain_base_models
from metaselector.training.predict import predict

TARGET_FROM = 90
"""Users at or above this percentage, ordered by their places, are the target."""
WINDOWS: tuple[Window, ...] = ("train", "full")
SCRATCH, UNTRAINED = "from scratch", "transferred, not trained"
KINDS: dict[str, dict[str, Any]] = {
    SCRATCH: {},
    "transferred": {"freeze": ()},
    "transferred, thawing": {
        "freeze": ("*.linear.weight", "*.embedding.weight"),
        "unfreeze_every": 2,
    },
}
"""Ways to train the target's models: the settings ``transfer`` without the source's path."""
COMPARED = ("auc", "logloss")

app = new_app()


@app.command()
def main(
    run: RunsOption = Path("runs/transfer"),
    seeds: SeedsOption = 5,
    config: Annotated[
        Path | None, typer.Option(help="YAML file of settings.", show_default="the defaults")
    ] = None,
    data: DataOption = None,
    output: OutputOption = Path("benchmarks/results/transfer"),
) -> None:
    """Train on the source, then on the target in each way, and compare the ways."""
    started, progress = time.perf_counter(), Bars()
    settings, table = study.load(config, seeds, data)
    source = Run(run / "source", settings)
    _prepare(source, table, of_target=False)
    pretrain_base_models(source, progress, WINDOWS)
    made: dict[str, Run] = {}
    for kind, transfer in KINDS.items():
        origin = {"init_from": str(source.directory)} if kind != SCRATCH else {}
        chosen = change_config(settings, {"transfer": {**transfer, **origin}})
        made[kind] = Run(run / kind.replace(", ", "-").replace(" ", "-"), chosen)
        _prepare(made[kind], table, of_target=True)
        pretrain_base_models(made[kind], progress, WINDOWS)
    compared = _compare(made, progress)
    for name, run_of in (("source", source), ("target", made[SCRATCH])):
        compared[f"{name}_users"] = run_of.dataset.num_users
    described = study.describe(
        made[SCRATCH],
        started,
        sum(study.training_seconds(each, WINDOWS) for each in (source, *made.values())),
    )
    texts = {
        "transfer.csv": compared.to_csv(index=False),
        "transfer.md": _markdown(compared, made[SCRATCH], described["command"]),
    }
    study.write_results(output, texts, described)


def _prepare(run: Run, table: InteractionTable, *, of_target: bool) -> None:
    """Encode the rows of the target's users, or of all others, as a separate data set."""

    def select(block: Interactions, position: int) -> NDArray[np.int64]:
        names = [str(user) for user in block.user.to_pylist()]
        return np.flatnonzero((user_places(names, 0) >= TARGET_FROM) == of_target)

    study.encode(run, table, select)
    save_config(run)


def _compare(made: dict[str, Run], progress: Progress) -> pd.DataFrame:
    """Metrics of each way on the target's test rows, and the difference from no transfer."""
    predictions = pd.concat(_predicted(made))
    first = made[SCRATCH]
    scores = resample(
        predictions,
        COMPARED,
        first.config.evaluate.resamples,
        np.random.default_rng(0),
        progress,
    )
    records = []
    for model in first.config.base_models:
        for kind in (*KINDS, UNTRAINED):
            name, base = f"{model} {kind}", f"{model} {SCRATCH}"
            of_kind = predictions[predictions["model"] == name]
            for metric in COMPARED:
                by_seed = [
                    METRICS[metric](g["y"], g["p"], g["user"]) for _, g in of_kind.groupby("seed")
                ]
                pairs = dict.fromkeys(first.config.seeds, (name, base))
                compared = difference(scores[metric], pairs)._asdict() if kind != SCRATCH else {}
                records.append(
                    {
                        "model": model,
                        "kind": kind,
                        "metric": metric,
                        **study.over_seeds(by_seed),
                        **compared,
                        "seeds": len(by_seed),
                    }
                )
    return pd.DataFrame(records)


def _predicted(made: dict[str, Run]) -> Iterator[pd.DataFrame]:
    for kind, run in made.items():
        (evaluation_split,) = run.protocol.evaluation_splits
        rows, limits = evaluation_split.test.flat("query")
        for seed in run.config.seeds:
            for name in run.config.base_models:
                models = {kind: run.checkpoints.load_base(name, "full", seed)}
                if kind == "transferred":
                    models[UNTRAINED], _ = run.checkpoints.start_base(name, "full", seed)
                for how, model in models.items():
                    p = torch.sigmoid(predict(model, run.dataset, rows, limits).double())
                    yield long_table(seed, f"{name} {how}", run.dataset, rows, p.numpy())


def _markdown(table: pd.DataFrame, target: Run, command: str) -> str:
    (evaluation_split,) = target.protocol.evaluation_splits
    tested, config = len(evaluation_split.test.flat("query")[0]), target.config
    train = len(target.protocol.fitting_rows("full"))
    source_users, users = table["source_users"].iloc[0], table["target_users"].iloc[0]
    lines = [
        "## Transfer to new users' data",
        "",
        f"MovieLens-100K. Target: {users:,} users with {train:,} rows for training and validation; "
        f"their last {tested:,} rows are predicted. Source: all rows of the other {source_users:,} "
        "users except their last tenth. Source and target share no user and therefore no row, so "
        "user embeddings start untrained. The source's rows may be later than the target's. "
        "Settings are the defaults, chosen on the valid window of all users. Values are mean ± "
        f"standard deviation over {len(config.seeds)} seed(s). Δ: difference from training from "
        "scratch, with the 95 % interval of the paired bootstrap over the target's users "
        f"({config.evaluate.resamples:,} resamples). Intervals and p reflect which users were "
        "sampled, and are not corrected for the number of rows in the table. thawing: embedding "
        "tables are frozen for 2 epochs and linear weights for 4.",
        "",
        f"Command: `{command}`",
        "",
        "| model | trained | AUC | Δ AUC | p | logloss | Δ logloss | p |",
        "|---|---|---:|---:|---:|---:|---:|---:|",
    ]
    for (model, kind), of_line in table.groupby(["model", "kind"], sort=False):
        cells = [str(model), str(kind)]
        numbers = of_line[["p", "p_floor"]].to_numpy(dtype=float)
        for each, p_floor in zip(of_line.itertuples(), numbers, strict=True):
            cells.append(f"{each.value:.4f} ± {each.sd:.4f}")
            low, high = f"{each.low:+.4f}", f"{each.high:+.4f}"
            shown = kind != SCRATCH
            cells.append(f"{each.difference:+.4f} [{low}, {high}]" if shown else "")
            p = p_text(*p_floor).removeprefix("p = ")
            cells.append((p or "-") if shown else "")
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    run_app(app)
