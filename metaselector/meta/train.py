"""Meta-training: learn on early base models, validate and predict on later ones.

Queries must be out-of-sample for the base models, or the meta-learner overfits. So it learns on
*early* base models, with queries from the window after their training rows. It is validated and
used on *later* base models: phi and alpha carry over unchanged, and theta as the change that the
outer loop made to the early models' parameters.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metaselector.common.progress import Progress
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting import make_protocol
from metaselector.data.splitting.protocol import EvaluationSplit
from metaselector.meta.adapt.residuals import RESIDUALS
from metaselector.meta.finetune import alpha_of, largest_support, with_numbers
from metaselector.meta.outer_loop import MetaLearner
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import Variant, config_of
from metaselector.models.mixture import Mixture
from metaselector.training.distributed.wire import Traffic
from metaselector.training.loop.snapshot_manager import SnapshotManager
from metaselector.training.loop.train import Plan, train


def meta_train(
    variant: Variant,
    dataset: EncodedDataset,
    early: Mixture,
    later: Mixture,
    config: Config,
    generator: np.random.Generator,
    *,
    start_from: MetaParameters | None = None,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None = None,
    traffic: Traffic | None = None,
) -> MetaParameters:
    """Meta-train one variant.

    Args:
        variant: ``sample-selector`` trains the same network on the same queries without an inner
            loop; ``metaselector-simplified`` freezes theta, ``metaselector`` (joint) does not.
        early: mixture on base models trained on the early window; changed in place.
        later: mixture on base models trained on *train*, for validation; restored afterwards.
        generator: draws users and support boundaries.
        start_from: the result of ``sample-selector``, from which phi starts, or that of
            ``user-finetuned``, whose alpha is kept; untrained by default.
        description: label of the progress bar.
        snapshots: saves snapshots and resumes from the last one; by default, none.
        traffic: logs what this worker sends, if there are several.

    Raises:
        UserError: no user has rows to learn from.
        Diverged: the loss of a step is non-finite.
    """
    if start_from is not None:
        start_from.attach(early)
    config = config_of(variant, config)
    rival = start_from if variant == "user-finetuned-residuals" else None
    splits: Sequence[EvaluationSplit] = ()
    validated: Sequence[EvaluationSplit] = ()  # by default all
    chosen = None
    if rival is not None:
        splits = make_protocol(dataset, config).evaluation_splits
        # Numbers that are learned for the largest support hold for smaller ones too.
        validated = [largest_support(splits)]
        chosen = alpha_of(rival.alpha, validated[0])
    trainable = MetaLearner(
        variant, dataset, early, later, config, generator, traffic, chosen, validated
    )
    learned = _trained(trainable, variant, config, description, progress, snapshots)
    if rival is not None:
        numbers = {n: number for n, number in learned.alpha.items() if n.startswith(RESIDUALS)}
        learned.alpha = with_numbers(rival.alpha, numbers, splits)
    return learned


def _trained(
    trainable: MetaLearner,
    variant: Variant,
    config: Config,
    description: str,
    progress: Progress,
    snapshots: SnapshotManager | None,
) -> MetaParameters:
    untrained = trainable.candidate()
    if variant == "metaselector-untrained" or not trainable.optimizers:  # nothing is learned
        return MetaParameters.of_tensors(untrained, config.device)
    settings = config.meta_train
    plan = Plan(
        first=0,  # the untrained selector is a candidate like any other
        last=settings.epochs,
        steps=settings.epochs * trainable.batches,
        patience=settings.patience,
        advice="lower the rates of meta_train or adapt, or set meta_train.clip_norm or "
        "meta_train.rate_bounds",
    )
    found = train(trainable, plan, description=description, progress=progress, snapshots=snapshots)
    learned = MetaParameters.of_tensors(found.best or untrained, config.device)
    learned.history, learned.rates = found.position.history, found.position.rates
    learned.best_epoch, learned.seconds = found.best_epoch, found.position.seconds
    return learned
