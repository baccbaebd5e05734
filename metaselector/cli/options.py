"""What the commands of the command line share: options, and the run that they describe."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from metaselector.common.errors import UserError
from metaselector.common.streams import tell

if TYPE_CHECKING:
    from metaselector.common.progress import Progress
    from metaselector.config import Config
    from metaselector.runs.run import Run

# Named here too, because the registry is slow to import; a test compares the two.
FETCHED = (
    "movielens-100k, movielens-100k-funnel, movielens-1m, movielens-10m, movielens-20m, "
    "movielens-25m, movielens-32m, census-income, amazon-electronics or amazon-musical-instruments"
)
DATASETS = (
    f"{FETCHED}; amazon is any other file of Amazon reviews, given with --data; or a .yaml schema "
    "of your own file"
)


def _launch(workers: int | None) -> None:
    """Start the same command on several workers, and end with it."""
    if workers is None or workers == 1:
        return
    from metaselector.training.distributed.launch import launch

    arguments = []
    given = iter(sys.argv[1:])
    for argument in given:
        if argument == "--workers":
            next(given)
        elif not argument.startswith("--workers="):
            arguments.append(argument)
    raise typer.Exit(launch(arguments, workers))


RunOption = Annotated[
    Path | None,
    typer.Option(
        "--run",
        help="Directory of the run: data, checkpoints, results.",
        show_default="runs/<dataset>, with -cold added if that is the protocol",
    ),
]
ConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file with any of the settings that `metaselector config` prints.",
        show_default="the defaults",
    ),
]
LaterConfigOption = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="YAML file with any of the settings that `metaselector config` prints.",
        show_default="the run's config.yaml, which the step before left",
    ),
]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="KEY=VALUE",
        help="Change one setting, such as adapt.steps=3; may be repeated; wins over --config.",
    ),
]
SeedOption = Annotated[
    list[int] | None,
    typer.Option("--seed", help="Seed of everything random; repeat for several.", show_default="0"),
]
DeviceOption = Annotated[
    str | None, typer.Option(help="Torch device: cpu, cuda, cuda:1.", show_default="cpu")
]
ThreadsOption = Annotated[
    int | None, typer.Option(min=1, help="CPU threads of torch.", show_default="2")
]
DatasetOption = Annotated[
    str | None,
    typer.Option(help=f"Data set: {DATASETS}.", show_default="movielens-100k"),
]
ProtocolOption = Annotated[
    str | None,
    typer.Option(
        help="warm: predict the later rows of users whose earlier ones base models were trained "
        "on; cold: predict users that they have never seen.",
        show_default="warm",
    ),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data",
        help="Your own copy of the raw files, so that nothing is fetched: a directory, MovieLens' "
        "official zip, a file of Amazon reviews (.json or .jsonl, also with .gz), or a schema's "
        "interactions.",
        show_default="fetched, or named by the schema",
    ),
]
BaseModelOption = Annotated[
    list[str] | None,
    typer.Option(
        "--base-model",
        metavar="FILE.py:CLASS",
        help="A base model of your own, besides those of the settings; called like its class in "
        "lower case; may be repeated.",
        show_default="none",
    ),
]
AllowCodeOption = Annotated[
    bool,
    typer.Option(
        "--allow-code",
        help="Run the Python code, FILE.py:CLASS or package.module.Class, that a run, a saved "
        "model or a file of settings names and this command does not. Only if you trust who wrote "
        "it.",
        show_default="off",
    ),
]
ResumeOption = Annotated[
    bool,
    typer.Option(
        "--resume",
        help="Go on with what was interrupted, with the settings of the run's config.yaml.",
        show_default="off",
    ),
]
TrackOption = Annotated[
    list[str] | None,
    typer.Option(
        "--track",
        metavar="NAME",
        help="Who takes down losses and rates, beside logs/training.jsonl: tensorboard, mlflow, "
        "wandb, or FILE.py:CLASS; may be repeated.",
        show_default="tracking of the settings",
    ),
]
WorkersOption = Annotated[
    int | None,
    typer.Option(
        min=1,
        max=4096,
        metavar="N",
        help="Processes that train as one, through torchrun, with one thread each unless "
        "OMP_NUM_THREADS says otherwise.",
        show_default="1",
        is_eager=True,
        callback=_launch,
    ),
]
CommOption = Annotated[
    str | None,
    typer.Option(
        metavar="KIND",
        help="How workers exchange gradients in meta-training: none (all of them), sparse (of "
        "tables the touched rows), fp16, bf16, powersgd:RANK or local-sgd:STEPS.",
        show_default="meta_train.comm of the settings, else sparse",
    ),
]
StrategyOption = Annotated[
    str | None,
    typer.Option(
        help="How base models are trained: independent; mutual: side by side, also learning each "
        "other's predictions; co-training: in rounds, labelling pairs for each other.",
        show_default="peer_learning.strategy of the settings, independent",
    ),
]
DataDirectoryOption = Annotated[
    Path, typer.Option(help="Where fetched data sets are kept, one directory each.")
]
DATA_DIRECTORY = Path("data")


def open_run(
    run: Path | None,
    config: Path | None,
    overrides: list[str] | None,
    *,
    fresh: bool = False,
    resume: bool = False,
    base_models: list[str] | None = None,
    allow_code: bool = False,
    **flags: object,
) -> Run:
    """The run that the options describe; its settings are saved beside its results.

    Args:
        fresh: start from the defaults even where the run has a config.yaml.
        resume: start from the run's config.yaml, which there must be.
        base_models: classes in files, added to the base models of the settings.
        allow_code: whether files of settings may name code that the options do not.
        flags: top-level settings; None means not given.
    """
    from metaselector.config import load_config
    from metaselector.data.own.own_log import is_schema
    from metaselector.runs.run import Run

    if resume and config is not None:
        raise UserError("--resume goes on with the run's own settings; leave --config out")
    changes = {key: value for key, value in flags.items() if value is not None}

    def load() -> Config:
        return load_config(
            config, overrides or (), changes, allow_code=allow_code, typed=base_models or ()
        )

    if run is None:
        wanted = load()
        # Of a schema of one's own, the name is a path.
        name = Path(wanted.dataset).stem if is_schema(wanted.dataset) else wanted.dataset
        run = Path("runs") / (f"{name}-cold" if wanted.protocol == "cold" else name)
    saved = run / "config.yaml"
    if resume and not saved.exists():
        raise UserError(f"{run}: nothing to resume, there is no config.yaml; leave --resume out")
    if config is None and (resume or not fresh) and saved.exists():
        config = saved
    settings = load()
    if base_models:
        from metaselector.models.registry import add_files

        settings = add_files(settings, base_models)
    use(settings)
    return Run(run, settings)


def use(config: Config) -> None:
    """Set the process up for `config`."""
    import torch

    from metaselector.runs.environment import check_device

    check_device(config.device)
    # torchrun says how many threads each of several workers may have.
    several = os.environ.get("WORLD_SIZE", "1") != "1"
    torch.set_num_threads(_threads_of_worker() if several else config.threads)


def _threads_of_worker() -> int:
    given = os.environ.get("OMP_NUM_THREADS", "1")
    first = given.partition(",")[0].strip()  # the others are of loops within loops
    if not first.isdecimal() or not 1 <= int(first) <= 1024:
        raise UserError(f"OMP_NUM_THREADS={given}: set it to a number from 1 to 1024")
    return int(first)


@contextmanager
def training(run: Run) -> Iterator[Progress]:
    """Alone in the run's directory, and tracked; Ctrl-C ends it with exit code 130."""
    from metaselector.common.progress import Bars
    from metaselector.runs.session import session
    from metaselector.training.loop.interruption import Interrupted

    try:
        with session(run, Bars()) as progress:
            yield progress
    except KeyboardInterrupt as error:
        number = error.number if isinstance(error, Interrupted) else signal.SIGINT
        if os.environ.get("RANK", "0") == "0":  # one of several workers is enough
            tell(
                f"interrupted; what was done is kept in {run.directory}, and the same command goes "
                "on from there",
            )
        raise typer.Exit(128 + number) from error
