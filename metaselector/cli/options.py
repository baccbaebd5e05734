"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path

import typer

from metaselector.cli.declare import option, setting
from metaselector.training.distributed import launch

# Named here too, because the registry is slow to import; a test compares the two.
FETCHED = (
    "movielens-100k, movielens-100k-funnel, movielens-1m, movielens-10m, movielens-20m, "
    "movielens-25m, movielens-32m, census-income, amazon-electronics or amazon-musical-instruments"
)
DATASETS = (
    f"{FETCHED}; amazon is any other file of Amazon reviews, given with --data; or a .yaml schema "
    "of your own file"
)


def _launch(context: typer.Context, workers: int | None) -> None:
    """Start the same command on several workers, and end with it."""
    if workers not in (None, 1) and not launch.launched():
        raise typer.Exit(launch.launch(context.obj, workers))


RUN = option(
    "--run",
    Path | None,
    help="Directory of the run: data, checkpoints, results.",
    show_default="runs/<dataset>, with -cold added if that is the protocol",
)
_SETTINGS_FILE = "YAML file with any of the settings that `metaselector config` prints."
CONFIG = option("--config", Path | None, help=_SETTINGS_FILE, show_default="the defaults")
LATER_CONFIG = option(
    "--config",
    Path | None,
    help=_SETTINGS_FILE,
    show_default="the run's config.yaml, which the step before left",
)
SET = option(
    "--set",
    list[str] | None,
    name="overrides",
    metavar="KEY=VALUE",
    help="Change one setting, such as adapt.steps=3; may be repeated; wins over --config.",
)
SEEDS = setting(
    "seeds",
    "--seed",
    list[int] | None,
    help="Seed of everything random; repeat for several.",
    show_default="0",
)
DEVICE = setting(
    "device",
    "--device",
    str | None,
    help="Torch device: cpu, cuda, cuda:1.",
    show_default="cpu",
)
THREADS = setting(
    "threads", "--threads", int | None, min=1, help="CPU threads of torch.", show_default="2"
)
DATASET = setting(
    "dataset",
    "--dataset",
    str | None,
    help=f"Data set: {DATASETS}.",
    show_default="movielens-100k",
)
PROTOCOL = setting(
    "protocol",
    "--protocol",
    str | None,
    help="warm: predict the later rows of users whose earlier ones base models were trained "
    "on; cold: predict users that they have never seen.",
    show_default="warm",
)
DATA = option(
    "--data",
    Path | None,
    help="Your own copy of the raw files, so that nothing is fetched: a directory, MovieLens' "
    "official zip, a file of Amazon reviews (.json or .jsonl, also with .gz), or a schema's "
    "interactions.",
    show_default="fetched, or named by the schema",
)
DATA_DIRECTORY = option(
    "--data-directory",
    Path,
    default=Path("data"),
    help="Where fetched data sets are kept, one directory each.",
)
BASE_MODELS = option(
    "--base-model",
    list[str] | None,
    name="base_models",
    metavar="FILE.py:CLASS",
    help="A base model of your own, besides those of the settings; called like its class in "
    "lower case; may be repeated.",
    show_default="none",
)
ALLOW_CODE = option(
    "--allow-code",
    bool,
    default=False,
    help="Run the Python code, FILE.py:CLASS or package.module.Class, that a run, a saved "
    "model or a file of settings names and this command does not. Only if you trust who wrote "
    "it.",
    show_default="off",
)
RESUME = option(
    "--resume",
    bool,
    default=False,
    help="Go on with what was interrupted, with the settings of the run's config.yaml.",
    show_default="off",
)
TRACKING = setting(
    "tracking",
    "--track",
    list[str] | None,
    metavar="NAME",
    help="Who takes down losses and rates, beside logs/training.jsonl: tensorboard, mlflow, "
    "wandb, or FILE.py:CLASS; may be repeated.",
    show_default="tracking of the settings",
)
WORKERS = option(
    "--workers",
    int | None,
    min=1,
    max=4096,
    metavar="N",
    help="Processes that train as one, through torchrun, with one thread each unless "
    "OMP_NUM_THREADS says otherwise.",
    show_default="1",
    is_eager=True,
    callback=_launch,
)
COMM = setting(
    "meta_train.comm",
    "--comm",
    str | None,
    metavar="KIND",
    help="How workers exchange gradients in meta-training: none (all of them), sparse (of "
    "tables the touched rows), fp16, bf16, powersgd:RANK or local-sgd:STEPS.",
    show_default="meta_train.comm of the settings, else sparse",
)
STRATEGY = setting(
    "peer_learning.strategy",
    "--strategy",
    str | None,
    help="How base models are trained: independent; mutual: side by side, also learning each "
    "other's predictions; co-training: in rounds, labelling pairs for each other.",
    show_default="peer_learning.strategy of the settings, independent",
)
ONE_SEED = option("--seed", int | None, help="Which seed's models.", show_default="the run's first")

# Runs that stand together in --help.
MACHINE = (DEVICE, THREADS)
TRAINED = (LATER_CONFIG, SET, SEEDS, *MACHINE)
