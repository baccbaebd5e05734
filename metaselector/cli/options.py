"""The options that several commands share."""

from __future__ import annotations

from pathlib import Path

import typer

from metaselector.cli.completion import FETCHED, key_and_value
from metaselector.cli.declare import option, setting
from metaselector.training.distributed import launch

FETCHED_NAMES = f"{', '.join(FETCHED[:-1])} or {FETCHED[-1]}"
DATASETS = (
    f"{FETCHED_NAMES}; amazon for any other file of Amazon reviews, given with --data; or a .yaml "
    "schema of your own file"
)


def _launch(context: typer.Context, workers: int | None) -> None:
    """Start the same command on several workers, and exit with its code."""
    if workers not in (None, 1) and not launch.launched():
        raise typer.Exit(launch.launch(context.obj, workers))


RUN = option(
    "--run",
    Path | None,
    help="Directory of the run: data, checkpoints, results.",
    show_default="runs/<dataset>; runs/<dataset>-<protocol> unless the protocol is warm",
)
_SETTINGS_FILE = "YAML file with any of the settings that `metaselector config` prints."
CONFIG = option("--config", Path | None, help=_SETTINGS_FILE, show_default="the defaults")
LATER_CONFIG = option(
    "--config",
    Path | None,
    help=_SETTINGS_FILE,
    show_default="the run's config.yaml, written by the previous step",
)
SET = option(
    "--set",
    list[str] | None,
    name="overrides",
    metavar="KEY=VALUE",
    autocompletion=key_and_value,
    help="Change one setting, such as adapt.steps=3; may be repeated; overrides --config.",
)
SEEDS = setting(
    "seeds",
    "--seed",
    list[int] | None,
    help="Random seed; repeat for several.",
    show_default="0",
)
DEVICE = setting(
    "device",
    "--device",
    str | None,
    help="Torch device: cpu; cuda or cuda:1 (untested).",
    show_default="cpu",
)
THREADS = setting(
    "threads",
    "--threads",
    int | None,
    min=1,
    help="Number of CPU threads that torch uses.",
    show_default="2",
)
JOBS = setting(
    "jobs",
    "--jobs",
    int | None,
    min=1,
    metavar="N",
    help="Train models, windows and seeds side by side in N processes of one thread each. Results "
    "equal those with --threads 1.",
    show_default="1",
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
    help="warm: predict later rows of the users on whose earlier rows the base models were "
    "trained; cold: predict users that the base models have never seen; global: train on "
    "everybody's rows before a date, predict the rows after it.",
    show_default="warm",
)
DATA = option(
    "--data",
    Path | None,
    help="Your own copy of the raw files, used instead of fetching them: a directory, MovieLens' "
    "official zip, a file of Amazon reviews (.json or .jsonl, optionally .gz), or the interactions "
    "that a schema describes.",
    show_default="fetched, or the file that the schema names",
)
DATA_DIRECTORY = option(
    "--data-directory",
    Path,
    default=Path("data"),
    help="Where fetched data sets are kept, in one directory each.",
)
BASE_MODELS = option(
    "--base-model",
    list[str] | None,
    name="base_models",
    metavar="FILE.py:CLASS",
    help="Your own base model, added to those in the settings and named after its class in lower "
    "case; may be repeated.",
    show_default="none",
)
ALLOW_CODE = option(
    "--allow-code",
    bool,
    default=False,
    help="Run the Python code (FILE.py:CLASS or package.module.Class) that a run, a saved model or "
    "a settings file names but this command does not. Use it only if you trust the author.",
    show_default="off",
)
QUIET = option(
    "--quiet",
    bool,
    default=False,
    help="Print no progress and no notes, only results, warnings and errors.",
    show_default="off",
)
JSON = option(
    "--json",
    bool,
    name="as_json",
    default=False,
    help="Print JSON on standard output, and nothing else there.",
    show_default="off",
)
RESUME = option(
    "--resume",
    bool,
    default=False,
    help="Continue an interrupted run with the settings in its config.yaml.",
    show_default="off",
)
TRACKING = setting(
    "tracking",
    "--track",
    list[str] | None,
    metavar="NAME",
    help="Also log losses and learning rates to this tracker, besides logs/training.jsonl: "
    "tensorboard, mlflow, wandb, or FILE.py:CLASS; may be repeated.",
    show_default="the setting tracking",
)
WORKERS = option(
    "--workers",
    int | None,
    min=1,
    max=4096,
    metavar="N",
    help="Number of processes that train together, started through torchrun; each uses one thread "
    "unless OMP_NUM_THREADS says otherwise.",
    show_default="1",
    is_eager=True,
    callback=_launch,
)
SHARD_TABLES = option(
    "--shard-tables",
    bool,
    default=False,
    help="Divide the rows of embedding tables among the workers, for tables larger than the memory "
    "of one. Needs --workers or torchrun; files and results stay the same.",
    show_default="off",
)
COMM = setting(
    "meta_train.comm",
    "--comm",
    str | None,
    metavar="KIND",
    help="How workers exchange gradients in meta-training: none (all gradients), sparse (only "
    "the touched rows of tables), fp16, bf16, powersgd:RANK or local-sgd:STEPS.",
    show_default="the setting meta_train.comm, else sparse",
)
STRATEGY = setting(
    "peer_learning.strategy",
    "--strategy",
    str | None,
    help="How base models are trained: independent; mutual: together, each also learning from the "
    "others' predictions; co-training: in rounds, labelling pairs for each other.",
    show_default="the setting peer_learning.strategy, else independent",
)
ONE_SEED = option(
    "--seed", int | None, help="Seed of the models to use.", show_default="the run's first"
)

# Options that stand together in --help.
MACHINE = (DEVICE, THREADS)
TRAINED = (LATER_CONFIG, SET, SEEDS, *MACHINE)
