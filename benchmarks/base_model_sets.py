"""Which base models to select among: headroom, loss and cost of several sets.

    python -m benchmarks.base_model_sets

writes ``benchmarks/results/base-model-sets/``. Every base model is trained once, in the run of the
long table, and sets share it. A set is to be chosen by *valid*; *test* is shown beside it. Models
that are already trained are reused.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

from benchmarks import study
from benchmarks.base_model_sets_figures import figures_of, run_of
from benchmarks.base_model_sets_page import page
from benchmarks.command import ConfigOption, OutputOption, RawFilesOption, SeedsOption, new_app
from benchmarks.command import run as run_app
from metaselector.common.errors import UserError, nearest
from metaselector.common.progress import Bars
from metaselector.config import Config, load_config
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models

CONFIG = Path(__file__).parent / "configs" / "six-models.yaml"
TREES, LIBRARY = "lightgbm", "lightgbm"
LIGHTGBM = {
    "estimator": "lightgbm.LGBMClassifier",
    "options": {"n_estimators": 200, "learning_rate": 0.05, "verbosity": -1},
}
"""Settings of the base model :data:`TREES`, as in ``docs/how-to/other-libraries.md``."""
SETS = (
    "lr+fm+deepfm+additive+itemknn",
    "lr+fm+deepfm",
    "lr+fm+deepfm+additive",
    "lr+fm+deepfm+itemknn",
    "deepfm+additive+itemknn",
    "lr+fm+deepfm+additive+itemknn+sequence",
    "lr+fm+deepfm+additive+itemknn+lightgbm",
    "lr+fm+deepfm+additive+itemknn+sequence+lightgbm",
    "fm+deepfm+additive+itemknn",
    "fm+itemknn+sequence",
)
"""The first is the default, which the others are compared with."""

app = new_app()


@app.command()
def main(
    dataset: Annotated[str, typer.Option(help="Name of the data set.")] = "movielens-100k",
    run: Annotated[
        Path | None,
        typer.Option(
            help="Run whose data and base models are reused; the sets are kept inside it.",
            show_default="runs/<dataset>-warm",
        ),
    ] = None,
    seeds: SeedsOption = 1,
    models: Annotated[
        list[str] | None,
        typer.Option(
            help="Base models of a set, joined by +; may be repeated. The others are compared "
            "with the first.",
            show_default="the sets of the page",
        ),
    ] = None,
    config: ConfigOption = CONFIG,
    data: RawFilesOption = None,
    output: OutputOption = Path("benchmarks/results/base-model-sets"),
) -> None:
    """Measure the headroom of each set of base models, and train selectors on it."""
    started = time.perf_counter()
    changes: dict[str, Any] = {"dataset": dataset, "seeds": list(range(seeds)), "threads": 1}
    if find_spec(LIBRARY) is not None:
        changes["base_models"] = {TREES: LIGHTGBM}
    settings = load_config(config, changes=changes)
    sets = list(dict.fromkeys(_usable(models or SETS, settings)))
    names = {name for each in sets for name in each.split("+")}
    torch.set_num_threads(settings.threads)
    progress = Bars()
    base = run_of(names, Run(run or Path("runs") / f"{settings.dataset}-warm", settings))
    if not base.data_directory.exists():
        prepare_run(base, data, Path("data"))
    pretrain_base_models(base, progress)
    table = figures_of(base, sets, progress)
    meta = table.loc[table["figure"] == "seconds-meta-training", "value"].sum()
    spent = study.training_seconds(base, WINDOWS) + float(meta)
    described = study.describe(base, started, spent)
    texts = {
        f"{dataset}.csv": table.to_csv(index=False, float_format="%.6g"),
        f"{dataset}.md": page(table, dataset, described["command"]),
    }
    study.write_results(output, texts, described)


def _usable(sets: Sequence[str], settings: Config) -> Iterator[str]:
    """The sets whose models are there, in the order of the settings; skips those with LightGBM."""
    for each in sets:
        names = each.split("+")
        if TREES in names and TREES not in settings.base_models:
            typer.echo(f"skipped {each}: {LIBRARY} is not installed")
            continue
        for name in names:
            if name not in settings.base_models:
                known = nearest(name, settings.base_models)
                raise UserError(f"--models {each}: no base model '{name}'; {known}")
        yield "+".join(name for name in settings.base_models if name in names)


if __name__ == "__main__":
    run_app(app)
