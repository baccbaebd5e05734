"""The commands that train: pretrain and meta-train, and reproduce, which does everything."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from metaselector.cli.options import (
    DATA_DIRECTORY,
    AllowCodeOption,
    BaseModelOption,
    CommOption,
    ConfigOption,
    DataDirectoryOption,
    DataOption,
    DatasetOption,
    DeviceOption,
    LaterConfigOption,
    ProtocolOption,
    ResumeOption,
    RunOption,
    SeedOption,
    SetOption,
    StrategyOption,
    ThreadsOption,
    TrackOption,
    WorkersOption,
    open_run,
    training,
)
from metaselector.common.streams import console


def pretrain(
    run: RunOption = None,
    base_model: BaseModelOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    strategy: StrategyOption = None,
    resume: ResumeOption = False,
    allow_code: AllowCodeOption = False,
    workers: WorkersOption = None,
    init_from: Annotated[
        Path | None,
        typer.Option(
            "--init-from",
            metavar="RUN",
            help="Directory of another run: each base model starts from the one of the same name, "
            "seed and window there. It must not have been trained on rows that this run validates "
            "or tests with.",
            show_default="transfer.init_from of the settings",
        ),
    ] = None,
    freeze: Annotated[
        list[str] | None,
        typer.Option(
            metavar="PATTERN",
            help="Leave parameters as they come from there: a shell-style pattern over <base "
            "model>.<parameter>, such as '*.embedding.*'; may be repeated.",
            show_default="transfer.freeze of the settings",
        ),
    ] = None,
    unfreeze_after: Annotated[
        int | None,
        typer.Option(
            min=1,
            metavar="EPOCHS",
            help="Train one more of these patterns after every so many epochs, the last one first.",
            show_default="transfer.unfreeze_every of the settings",
        ),
    ] = None,
) -> None:
    """Train the base models of a run whose data is prepared."""
    from metaselector.report.terminal import print_transfer
    from metaselector.runs.saved_config import kept_config
    from metaselector.runs.stages.train import pretrain_base_models

    transfer = {
        key: value
        for key, value in (
            ("init_from", None if init_from is None else str(init_from)),
            ("freeze", freeze or None),
            ("unfreeze_every", unfreeze_after),
        )
        if value is not None
    }
    this = open_run(
        run,
        config,
        overrides,
        base_models=base_model,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        resume=resume,
        allow_code=allow_code,
        transfer=transfer or None,
        peer_learning={"strategy": strategy} if strategy else None,
    )
    with training(this) as progress, kept_config(this):
        pretrain_base_models(this, progress)
    if this.source is not None:
        print_transfer(this.directory, console())


def meta_train(
    run: RunOption = None,
    config: LaterConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    resume: ResumeOption = False,
    allow_code: AllowCodeOption = False,
    workers: WorkersOption = None,
    comm: CommOption = None,
) -> None:
    """Train the sample-level selector and MetaSelector (simplified, joint) on pretrained models."""
    from metaselector.runs.saved_config import kept_config
    from metaselector.runs.stages.train import meta_train_selectors

    this = open_run(
        run,
        config,
        overrides,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        meta_train={"comm": comm} if comm else None,
        resume=resume,
        allow_code=allow_code,
    )
    with training(this) as progress, kept_config(this):
        meta_train_selectors(this, progress)


def reproduce(
    run: RunOption = None,
    dataset: DatasetOption = None,
    protocol: ProtocolOption = None,
    data: DataOption = None,
    data_directory: DataDirectoryOption = DATA_DIRECTORY,
    base_model: BaseModelOption = None,
    config: ConfigOption = None,
    overrides: SetOption = None,
    seed: SeedOption = None,
    device: DeviceOption = None,
    threads: ThreadsOption = None,
    track: TrackOption = None,
    strategy: StrategyOption = None,
    resume: ResumeOption = False,
    allow_code: AllowCodeOption = False,
    workers: WorkersOption = None,
    comm: CommOption = None,
) -> None:
    """From raw data to the results table: fetch, prepare, pretrain, meta-train, evaluate, report.

    What an interrupted run had trained with the same settings is used again.
    """
    from metaselector.runs.stages.reproduce import reproduce as reproduce_run

    this = open_run(
        run,
        config,
        overrides,
        base_models=base_model,
        fresh=True,
        dataset=dataset,
        protocol=protocol,
        seeds=seed or None,
        device=device,
        threads=threads,
        tracking=track or None,
        meta_train={"comm": comm} if comm else None,
        resume=resume,
        allow_code=allow_code,
        peer_learning={"strategy": strategy} if strategy else None,
    )
    with training(this) as progress:
        reproduce_run(this, data, data_directory, progress, prepared=resume)
