"""What the settings name and other packages may add, but for base models and data sets.

Those two have registries of their own, :mod:`metaselector.models.registry` and
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
"""Called with ``rate``, a function from a parameter's name to where its inner rate starts, and, if
they have such an argument, ``granularity``; they make an
:class:`~metaselector.meta.adapt.rules.InnerRule`. Its update leaves alone what has no gradient, as
engines show it only the table rows that a user touches."""

ESTIMATORS = Plugins(
    "estimator",
    "metaselector.estimators",
    {
        "deepctr-torch": "metaselector.models.external.deepctr_torch:DeepCTRModel",
        "fuxictr": "metaselector.models.external.fuxictr:FuxiCTRModel",
    },
)
"""Classifiers as :class:`~metaselector.models.estimators.Estimator` describes them. What is none of
these is named ``package.module.Class``."""

SELECTORS = Plugins(
    "selector", "metaselector.selectors", {"gated": "metaselector.models.selector:GatedSelector"}
)
"""Modules as :class:`~metaselector.models.mixture.Mixture` takes them; how they are called says
:func:`~metaselector.models.build.make_selector`."""

METRICS = Plugins(
    "metric",
    "metaselector.metrics",
    {
        "auc": "metaselector.evaluate.metrics:auc",
        "logloss": "metaselector.evaluate.metrics:logloss",
        "gauc": "metaselector.evaluate.metrics:gauc",
    },
)
"""Functions ``(y [N], p [N], users [N]) -> float`` of labels, predicted probabilities and users,
named in ``evaluate.metrics``. The built-in ones are always in the table."""

TRACKERS = Plugins(
    "tracker",
    "metaselector.trackers",
    {
        "tensorboard": "metaselector.runs.tracking.tensorboard:TensorBoard",
        "mlflow": "metaselector.runs.tracking.mlflow:MLflow",
        "wandb": "metaselector.runs.tracking.wandb:WeightsAndBiases",
    },
)
"""Classes as :class:`~metaselector.runs.tracking.tracker.Tracker`, named in ``tracking``."""
