"""Kinds of components that settings name and other packages may provide.

Base models and data sets are in :mod:`metaselector.models.registry` and
:mod:`metaselector.data.registry`.
"""

from __future__ import annotations

from metaselector.config.plugins.registry import Plugins

RULES = Plugins(
    "inner rule",
    "metaselector.rules",
    {
        "maml": "metaselector.meta.adapt.rules:MAML",
        "first-order-maml": "metaselector.meta.adapt.rules:first_order_maml",
        "meta-sgd": "metaselector.meta.adapt.rules:MetaSGD",
    },
)
"""Factories of an :class:`~metaselector.meta.adapt.rules.InnerRule`. They are called with ``rate``,
a function that maps a parameter's name to its initial inner rate, and with ``granularity`` if they
have that argument. A rule's update must leave values without gradients unchanged, because engines
pass it only the table rows that a user touches."""

ESTIMATORS = Plugins(
    "estimator",
    "metaselector.estimators",
    {
        "deepctr-torch": "metaselector.models.external.deepctr_torch:DeepCTRModel",
        "fuxictr": "metaselector.models.external.fuxictr:FuxiCTRModel",
    },
)
"""Classifiers that satisfy :class:`~metaselector.models.estimators.Estimator`. Others are named
``package.module.Class``."""

SELECTORS = Plugins(
    "selector", "metaselector.selectors", {"gated": "metaselector.models.selector:GatedSelector"}
)
"""Selector modules for :class:`~metaselector.models.mixture.Mixture`, constructed as described in
:func:`~metaselector.models.build.build_selector`."""

SIMILARITIES = Plugins(
    "similarity",
    "metaselector.similarities",
    {
        "features": "metaselector.models.similarity.features:Features",
        "embeddings": "metaselector.models.similarity.embeddings:Embeddings",
        "co-residuals": "metaselector.models.similarity.co_residuals:CoResiduals",
    },
)
"""Classes that satisfy :class:`~metaselector.models.similarity.contract.RowSimilarity`, constructed
as described there."""

METRICS = Plugins(
    "metric",
    "metaselector.metrics",
    {
        "auc": "metaselector.evaluate.metrics:auc",
        "logloss": "metaselector.evaluate.metrics:logloss",
        "gauc": "metaselector.evaluate.metrics:gauc",
        "ndcg_10": "metaselector.evaluate.metrics:ndcg",
        "mrr": "metaselector.evaluate.metrics:mrr",
    },
)
"""Functions ``(y [N], p [N], users [N]) -> float`` of labels, predicted probabilities and users,
listed in ``evaluate.metrics``. The built-in ones are always reported."""

TRACKERS = Plugins(
    "tracker",
    "metaselector.trackers",
    {
        "tensorboard": "metaselector.runs.tracking.tensorboard:TensorBoard",
        "mlflow": "metaselector.runs.tracking.mlflow:MLflow",
        "wandb": "metaselector.runs.tracking.wandb:WeightsAndBiases",
    },
)
"""Classes that satisfy :class:`~metaselector.runs.tracking.tracker.Tracker`, listed in
``tracking``."""
