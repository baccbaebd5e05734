"""Meta-training: early base models to learn against, later ones to be judged and used with.

Queries must be out-of-sample for the base models, or the meta-learner overfits. So it learns
against *early* base models, on queries from the window after those were trained, and is validated
and used attached to *later* base models: phi and alpha carry over as they are, and theta as the
shift that the outer loop made to the early models' parameters.
"""

from __future__ import annotations

import numpy as np

from metaselector.common.progress import Progress
from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.meta.outer_loop import MetaLearner
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.variants import Variant
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
        variant: ``sample-selector`` is the same network trained on the same queries without an
            inner loop; ``metaselector-simplified`` freezes theta, ``metaselector`` (joint) does
            not.
        early: mixture on base models trained on the early window; changed in place.
        later: mixture on base models trained on *train*, with which it is validated; restored.
        generator: draws users and cuts.
        start_from: what ``sample-selector`` learned, where phi then starts; untrained by default.
        description: what the progress bar calls it.
        keeper: where it goes on from, and keeps snapshots; nowhere by default.
        traffic: takes down what this worker sends, if it is one of several.

    Raises:
        UserError: no user has rows to learn from.
        Diverged: the loss of a step is infinite or no number.
    """
    if start_from is not None:
        start_from.attach(early)
    trainable = MetaLearner(variant, dataset, early, later, config, generator, traffic)
    untrained = trainable.candidate()
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
