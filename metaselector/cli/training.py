"""The commands that train: pretrain, meta-train, and reproduce, which runs all steps."""

from __future__ import annotations

from pathlib import Path

from metaselector.cli.declare import Options, setting, with_options
from metaselector.cli.next_step import predict_own_log
from metaselector.cli.opening import open_run, training
from metaselector.cli.options import (
    ALLOW_CODE,
    BASE_MODELS,
    COMM,
    CONFIG,
    DATA,
    DATA_DIRECTORY,
    DATASET,
    JOBS,
    JSON,
    MACHINE,
    PROTOCOL,
    QUIET,
    RESUME,
    RUN,
    SEEDS,
    SET,
    SHARD_TABLES,
    STRATEGY,
    TRACKING,
    TRAINED,
    WORKERS,
)
from metaselector.common.streams import console
from metaselector.training.distributed import launch

TRANSFER = (
    setting(
        "transfer.init_from",
        "--init-from",
        Path | None,
        metavar="RUN",
        help="Directory of another run: each base model starts from the one with the same name, "
        "seed and window there. That run must not have been trained on rows that this run "
        "validates or tests on.",
        show_default="the setting transfer.init_from",
    ),
    setting(
        "transfer.freeze",
        "--freeze",
        list[str] | None,
        metavar="PATTERN",
        help="Freeze parameters that come from the other run: a shell-style pattern over <base "
        "model>.<parameter>, such as '*.embedding.*'; may be repeated.",
        show_default="the setting transfer.freeze",
    ),
    setting(
        "transfer.unfreeze_every",
        "--unfreeze-after",
        int | None,
        min=1,
        metavar="EPOCHS",
        help="Unfreeze one more of these patterns every EPOCHS epochs, the last one first.",
        show_default="the setting transfer.unfreeze_every",
    ),
)


@with_options(
    *(RUN, BASE_MODELS, *TRAINED, TRACKING, STRATEGY, RESUME, ALLOW_CODE, QUIET),
    *(JOBS, WORKERS, SHARD_TABLES, *TRANSFER),
)
def pretrain(options: Options) -> None:
    """Train the base models of a run with prepared data."""
    from metaselector.report.terminal import print_transfer
    from metaselector.runs.saved_config import kept_config
    from metaselector.runs.stage_costs import measured
    from metaselector.runs.stages.side_by_side import side_by_side
    from metaselector.runs.stages.train import pretrain_base_models

    this = open_run(options)
    with training(this, options) as tracked, kept_config(this):
        progress = measured(this, tracked)
        if this.config.jobs == 1:
            pretrain_base_models(this, progress)
        else:
            with side_by_side(this, progress) as side:
                side.pretrain()
    if this.source is not None:
        print_transfer(this.directory, console())


@with_options(
    *(RUN, *TRAINED, TRACKING, RESUME, ALLOW_CODE, QUIET, JOBS, WORKERS, SHARD_TABLES, COMM)
)
def meta_train(options: Options) -> None:
    """Train the sample-level selector and MetaSelector (simplified, joint) on pretrained models."""
    from metaselector.runs.saved_config import kept_config
    from metaselector.runs.stage_costs import measured
    from metaselector.runs.stages.side_by_side import side_by_side
    from metaselector.runs.stages.train import meta_train_selectors

    this = open_run(options)
    with training(this, options) as tracked, kept_config(this):
        progress = measured(this, tracked)
        if this.config.jobs == 1:
            meta_train_selectors(this, progress)
        else:
            with side_by_side(this, progress) as side:
                side.meta_train()


@with_options(
    *(RUN, DATASET, PROTOCOL, DATA, DATA_DIRECTORY, BASE_MODELS, CONFIG, SET, SEEDS),
    *(*MACHINE, JOBS),
    *(TRACKING, STRATEGY, RESUME, ALLOW_CODE, JSON, QUIET, WORKERS, SHARD_TABLES, COMM),
)
def reproduce(options: Options, data: Path | None, data_directory: Path, as_json: bool) -> None:
    """From raw data to the results table: fetch, prepare, pretrain, meta-train, evaluate, report.

    Models that an interrupted run trained with the same settings are reused.
    """
    from metaselector.runs.stages.reproduce import reproduce as reproduce_run

    this = open_run(options, fresh=True)
    with training(this, options) as progress:
        reproduce_run(
            this, data, data_directory, progress, prepared=options.resume, as_json=as_json
        )
    if not options.quiet and launch.rank() == 0:
        predict_own_log(this, data)
