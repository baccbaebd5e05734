"""Train the base models, then the selectors; what is trained already is kept."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray
from torch import nn

from metaselector.data.protocol import WINDOWS, Window
from metaselector.distributed import workers
from metaselector.finetune import choose_rate
from metaselector.freezing import Freezing, check_patterns
from metaselector.meta_trainer import MetaLearned, meta_train
from metaselector.pretrain import pretrain
from metaselector.progress import Progress
from metaselector.run_directory import Run
from metaselector.stages.fit_estimator import check_estimators, fit_estimator
from metaselector.transfer import Transferred, overlap, source_rows, transfer
from metaselector.variants import Variant


@contextmanager
def _frozen_imports() -> Iterator[None]:
    """Keep the garbage collector from searching, in every meta-step, all that was imported.

    That takes a sixth of the time of a meta-step.
    """
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


@_frozen_imports()
def pretrain_base_models(run: Run, progress: Progress, windows: Sequence[Window] = WINDOWS) -> None:
    """Fit every base model on the early part, on *train*, and refit it on *train* and *valid*.

    The first two stop early on *valid*; the refit trains for the epochs that *train* took. Where
    the settings name a source, each starts from the source's of the same name, seed and window,
    and ``transfer.csv`` says what it got from there. Estimators are fitted to the same rows as they
    please, from nothing, and their scores of all rows kept.
    """
    _check_transfer(run, progress)
    check_estimators(run, windows)
    for seed in run.config.seeds:
        for name in run.trained_models:
            for window in windows:
                description = f"seed {seed}: pretrain {name} ({window})"
                if run.has_base(name, window, seed):
                    progress.skipped(description)
                elif run.config.base_models[name].estimator is None:
                    _pretrain_one(run, name, window, seed, description, progress)
                else:
                    with progress.task(description, 1) as advance:
                        if workers.is_main():
                            made = fit_estimator(run, name, window, seed)
                            run.save_base(name, window, seed, *made)
                        workers.wait()
                        advance()


def _check_transfer(run: Run, progress: Progress) -> None:
    """Refuse patterns that match nothing, and say what makes results of a transfer doubtful."""
    if run.source is None:
        return
    seed = run.config.seeds[0]
    models = {n: run.new_base(n, seed) for n in run.trained_models if n not in run.scored}
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
        epochs, valid = run.load_base(name, "train", seed)[1].epochs, None
    model = run.new_base(name, seed)
    report = start(run, name, window, seed, model)
    keeper = run.base_keeper(name, window, seed)
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
        keeper=keeper,
    )
    if workers.is_main():
        if report:
            run.save_transferred(name, window, seed, report)
        run.save_base(name, window, seed, model, made)
        keeper.clear()
    workers.wait()


def start(run: Run, name: str, window: Window, seed: int, model: nn.Module) -> list[Transferred]:
    """Start an untrained base model from the source's, in place, if the run has a source."""
    if run.source is None:
        return []
    theirs, ours = run.source.dataset.schema, run.dataset.schema
    learned = run.source.tensors(name, window, seed)
    return transfer(model, learned, source_rows(theirs, ours), theirs.num_ids)


@_frozen_imports()
def meta_train_selectors(
    run: Run, progress: Progress, variants: Sequence[Variant] | None = None
) -> None:
    """Train the rows that adapt, by default all that the settings ask for."""
    for seed in run.config.seeds:
        for variant in run.variants if variants is None else variants:
            description = f"seed {seed}: train {variant}"
            if run.has_learned(variant, seed):
                progress.skipped(description)
            else:
                learned = _learn(run, variant, seed, description, progress)
                if workers.is_main():
                    run.save_learned(variant, seed, learned)
                    run.learned_keeper(variant, seed).clear()
                workers.wait()


def _learn(
    run: Run, variant: Variant, seed: int, description: str, progress: Progress
) -> MetaLearned:
    if variant == "user-finetuned":
        later = run.load_mixture("train", seed)
        return choose_rate(run.protocol, later, description=description, progress=progress)
    first = variant == "sample-selector"
    return meta_train(
        variant,
        run.dataset,
        run.load_mixture("early", seed),
        run.load_mixture("train", seed),
        run.config,
        np.random.default_rng(seed),
        start_from=None if first else run.load_learned("sample-selector", seed),
        description=description,
        progress=progress,
        keeper=run.learned_keeper(variant, seed),
    )
