"""Train base models, then selectors; checkpoints with the same settings are kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from metaselector.common.progress import Progress
from metaselector.data.splitting.protocol import WINDOWS, Window
from metaselector.meta.finetune import choose_finetuning, choose_rate
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.meta.variants import FINETUNED, Variant, start_of
from metaselector.runs.run import Run
from metaselector.runs.stages.fit_estimator import check_estimators, fit_estimator
from metaselector.runs.stages.teach import check_teaching, teach
from metaselector.runs.stages.try_out import try_adaptation, try_base_models
from metaselector.training.distributed import workers
from metaselector.training.distributed.wire import Traffic
from metaselector.training.freezing import Freezing, check_patterns
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.pretrain import pretrain
from metaselector.training.transfer import overlap


@contextmanager
def frozen_imports() -> Iterator[None]:
    """Keep the garbage collector from scanning all imported modules in every meta-step.

    Scanning them takes a sixth of the time of a meta-step.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@frozen_imports()
def pretrain_base_models(run: Run, progress: Progress, windows: Sequence[Window] = WINDOWS) -> None:
    """Fit every base model on the early part and on *train*, and refit it on *train* and *valid*.

    The first two trainings stop early on *valid*; the refit runs for as many epochs as *train*
    took. With a transfer source, each model starts from the source's model of the same name, seed
    and window, and ``transfer.csv`` lists which parameters it took over. Estimators are fitted to
    the same rows from scratch, and their scores of all rows are saved. Peers that teach each other
    share one training per window.
    """
    check_pretraining(run, progress, windows)
    for seed in run.config.seeds:
        for names in trainings(run):
            for window in windows:
                pretrain_together(run, names, window, seed, progress)


def check_pretraining(run: Run, progress: Progress, windows: Sequence[Window] = WINDOWS) -> None:
    """Raise a UserError for what rules out a training; warn of doubtful transfer.

    Every model, and what a selector later needs, is built and tried on a few rows.
    """
    _check_transfer(run, progress)
    check_estimators(run, windows)
    check_teaching(run)
    try_base_models(run)
    if "early" in windows:  # on which selectors are meta-trained
        try_adaptation(run)


def trainings(run: Run) -> list[tuple[str, ...]]:
    """The base models of each training of a window and seed: peers together, others alone."""
    taught = run.config.taught
    alone = ((name,) for name in run.trained_models if name not in taught)
    return [*([taught] if taught else []), *alone]


def pretrain_together(
    run: Run, names: tuple[str, ...], window: Window, seed: int, progress: Progress
) -> None:
    """Do one of the :func:`trainings`, unless its checkpoints exist."""
    description = f"seed {seed}: pretrain {' + '.join(names)} ({window})"
    found = [run.checkpoints.has_base(name, window, seed) for name in names]
    # All workers agree, even if one is late and the main worker has saved it by then.
    if any(workers.most(int(all(found)))):
        progress.skipped(description)
        for name in names:
            run.checkpoints.base_snapshots(name, window, seed).clear_left_over()
    elif names == run.config.taught:
        teach(run, window, seed, description, progress)
    elif run.config.base_models[names[0]].estimator is None:
        _pretrain_one(run, names[0], window, seed, description, progress)
    else:
        with progress.task(description, 1) as advance:
            if workers.is_main():
                made = fit_estimator(run, names[0], window, seed)
                run.checkpoints.save_base(names[0], window, seed, *made)
            workers.wait()
            advance()


def _check_transfer(run: Run, progress: Progress) -> None:
    """Refuse freeze patterns that match nothing; warn if transfer makes the results doubtful."""
    if run.source is None:
        return
    seed = run.config.seeds[0]
    models = {
        n: run.checkpoints.new_base(n, seed) for n in run.trained_models if n not in run.scored
    }
    names = [f"{name}.{each}" for name, m in models.items() for each, _ in m.named_parameters()]
    check_patterns(run.config.transfer.freeze, names)
    for note in overlap(run.source.dataset, run.dataset):
        progress.note(note)


def _pretrain_one(
    run: Run, name: str, window: Window, seed: int, description: str, progress: Progress
) -> None:
    settings, chosen = run.config.base_models[name].pretrain, run.config.transfer
    epochs = settings.epochs
    valid: NDArray[np.int64] | None = run.protocol.stopping_rows()
    if window == "full":
        epochs, valid = run.checkpoints.base_record(name, "train", seed).epochs, None
    model, report = run.checkpoints.start_base(name, window, seed)
    snapshots = run.checkpoints.base_snapshots(name, window, seed)
    made = pretrain(
        model,
        run.protocol.fitting_dataset,
        run.protocol.fitting_rows(window),
        settings,
        np.random.default_rng(seed),
        valid=valid,
        epochs=epochs,
        description=description,
        progress=progress,
        freezing=Freezing(
            name, dict(model.named_parameters()), chosen.freeze, chosen.unfreeze_every
        ),
        snapshots=snapshots,
    )
    if _saves(run):
        run.checkpoints.save_base(name, window, seed, model, made, report)
    snapshots.clear()
    workers.wait()


def _saves(run: Run) -> bool:
    """Whether this worker takes part in saving a checkpoint."""
    return workers.is_main() or run.checkpoints.store.collective


@frozen_imports()
def meta_train_selectors(
    run: Run, progress: Progress, variants: Sequence[Variant] | None = None
) -> None:
    """Meta-train `variants`, by default all that the settings ask for, after trying one batch."""
    wanted = run.variants if variants is None else variants
    try_untrained(run, wanted)
    for seed in run.config.seeds:
        for variant in wanted:
            meta_train_selector(run, variant, seed, progress)


def try_untrained(run: Run, variants: Sequence[Variant]) -> None:
    """Try one batch, unless all these variants are trained already."""
    if not all(run.checkpoints.has_learned(v, seed) for seed in run.config.seeds for v in variants):
        try_adaptation(run)


def meta_train_selector(run: Run, variant: Variant, seed: int, progress: Progress) -> None:
    """Meta-train a variant with one seed, unless its checkpoint exists."""
    description = f"seed {seed}: train {variant}"
    if run.checkpoints.has_learned(variant, seed):
        progress.skipped(description)
        run.checkpoints.learned_snapshots(variant, seed).clear_left_over()
        return
    learned = _learn(run, variant, seed, description, progress)
    if _saves(run):
        run.checkpoints.save_learned(variant, seed, learned)
    run.checkpoints.learned_snapshots(variant, seed).clear()
    workers.wait()


def _learn(
    run: Run, variant: Variant, seed: int, description: str, progress: Progress
) -> MetaParameters:
    if variant in FINETUNED:
        later = run.checkpoints.load_mixture("train", seed)
        told: dict[str, Any] = {"description": description, "progress": progress}
        if variant == "user-finetuned-plain":
            return choose_rate(run.protocol, later, **told)
        selector = run.checkpoints.load_learned("sample-selector", seed)
        told |= {"snapshots": run.checkpoints.learned_snapshots(variant, seed)}
        return choose_finetuning(run.protocol, later, selector, **told)
    traffic = Traffic()
    learned = train_variant(
        run,
        variant,
        seed,
        description=description,
        progress=progress,
        snapshots=run.checkpoints.learned_snapshots(variant, seed),
        traffic=traffic,
    )
    if traffic.steps:  # with several workers
        sent, seconds = traffic.sent / traffic.steps, traffic.seconds / traffic.steps
        values = {"round": traffic.steps, "sent_per_step": sent, "seconds_per_step": seconds}
        progress.log(description, {"event": "communicated"} | values)
        progress.note(
            f"{description}: each worker sent {sent / 1e6:.3g} MB a step, and spent "
            f"{1000 * seconds:.3g} ms of it in collectives"
        )
    return learned


def train_variant(
    run: Run,
    variant: Variant,
    seed: int,
    *,
    description: str,
    progress: Progress,
    learn_on: Window = "early",
    warm_start: bool = True,
    snapshots: SnapshotManager | None = None,
    traffic: Traffic | None = None,
) -> MetaParameters:
    """Meta-train a variant of a run, and save nothing but snapshots.

    Args:
        learn_on: the window whose base models it learns above.
        warm_start: begin with the sample-level selector, which must have been trained; that one
            itself begins untrained in any case.
        snapshots: where to keep snapshots; by default none are kept.
        traffic: counts what workers send each other.
    """
    checkpoints = run.checkpoints
    start = start_of(variant) if warm_start else None
    return meta_train(
        variant,
        run.dataset,
        checkpoints.load_mixture(learn_on, seed),
        checkpoints.load_mixture("train", seed),
        run.config,
        np.random.default_rng(seed),
        start_from=checkpoints.load_learned(start, seed) if start else None,
        description=description,
        progress=progress,
        snapshots=snapshots,
        traffic=traffic,
    )
