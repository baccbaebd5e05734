"""Try every part of a run on a few rows, so that mistakes show before anything trains."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import torch
from torch import nn

from metaselector.common.errors import ConfigError, UserError, mishap
from metaselector.config import AdaptConfig, Config, SelectorConfig
from metaselector.config.plugins.kinds import RULES, SELECTORS
from metaselector.data.encoded.batch import Batch
from metaselector.data.interactions import Ints
from metaselector.data.splitting.episodes import load_episodes
from metaselector.evaluate.row_features import row_table
from metaselector.meta.adapt.engines import make_engine
from metaselector.meta.adapt.episode_loss import EpisodeLoss
from metaselector.meta.parameters import parameters_of
from metaselector.meta.variants import make_adaptation
from metaselector.models.estimators import create_estimator, fit, refused
from metaselector.models.kernels.intercept import Intercept
from metaselector.models.kernels.lookups import Lookups
from metaselector.models.losses import make_loss
from metaselector.models.similarity.contract import make_similarity
from metaselector.runs.run import Run
from metaselector.training.objective import make_objective
from metaselector.training.predict import labels_for

ROWS = 64
USERS = 8
_PLAIN = (
    "forward runs under torch.func: no .item(), no branches on tensor values, no in-place writes "
    "to tensors created outside of forward"
)


def try_base_models(run: Run) -> None:
    """Build every base model, and take the gradient of its loss on a few training rows.

    Classifiers of other libraries are fitted to a few rows. Nothing is kept.

    Raises:
        ConfigError: a base model cannot be built or trained; names it and what to change.
    """
    rows = _some_rows(run)
    for name in run.trained_models:
        if run.config.base_models[name].estimator is None:
            _try_model(run, name, rows)
        else:
            _try_estimator(run, name, rows)


def _some_rows(run: Run) -> Ints:
    """The first training rows of either class, in order."""
    rows = run.protocol.fitting_rows("early")
    positive = run.dataset.labels[rows] > 0
    chosen = [np.flatnonzero(positive == kind)[: ROWS // 2] for kind in (False, True)]
    return rows[np.sort(np.concatenate(chosen))]


def _try_model(run: Run, name: str, rows: Ints) -> None:
    model = run.checkpoints.new_base(name, run.config.seeds[0])
    settings, dataset = run.config.base_models[name].pretrain, run.protocol.fitting_dataset
    objective = make_objective(model, dataset, settings, f"base_models.{name}")
    batch = dataset.batch(rows).to(run.config.device)
    labels = labels_for(model, dataset, rows).to(run.config.device)
    try:
        with torch.random.fork_rng(), Intercept(Lookups().handlers):  # as in pretraining
            objective.backward(objective.losses(Batch(*batch), labels), 1)
    except UserError:
        raise
    except Exception as error:  # whatever a model does
        _let_pass(error)
        raise ConfigError(
            f"base_models.{name}: cannot be trained on {len(rows)} rows of the data "
            f"({mishap(error)}); correct base_models.{name}.options, or the class: "
            "check_base_model of metaselector.testing says what is expected"
        ) from error


def _try_estimator(run: Run, name: str, rows: Ints) -> None:
    settings = run.config.base_models[name]
    estimator = create_estimator(name, settings, run.config.seeds[0])
    table, categories = row_table(run.dataset, rows)
    try:
        fit(estimator, table, run.dataset.labels[rows].astype(np.int64), categories)
        shape = np.shape(estimator.predict_proba(table))
    except TypeError as error:  # also scikit-learn's error for options out of range
        raise refused(name, str(settings.estimator), "cannot be fitted", error) from error
    except Exception:  # it may only need more rows
        return
    if shape != (len(rows), 2):
        raise ConfigError(
            f"base_models.{name}: predict_proba returns shape {list(shape)} for {len(rows)} rows, "
            f"expected [{len(rows)}, 2]: the probabilities of 0 and 1"
        )


def try_adaptation(run: Run) -> None:
    """Adapt untrained base models under an untrained selector to a few users, as in meta-training.

    Raises:
        ConfigError: a base model, the selector, the inner rule or a similarity of rows fails; names
            it and what to change.
    """
    checkpoints, seed = run.checkpoints, run.config.seeds[0]
    models = {
        name: checkpoints.load_base(name, "early", seed)  # which reads a column of scores
        if settings.gives_scores
        else checkpoints.new_base(name, seed)
        for name, settings in run.config.base_models.items()
    }
    try:
        _adapt(run, models, run.config)
    except UserError:
        raise
    except Exception as error:  # whatever a plug-in does
        _let_pass(error)
        raise ConfigError(_culprit(run, models, error)) from error


def _adapt(run: Run, models: Mapping[str, nn.Module], config: Config) -> None:
    """One gradient of the outer loop on a few users."""
    dataset, protocol, adapt = run.dataset, run.protocol, config.adapt
    mixture = run.checkpoints.new.mixture(models, config, config.seeds[0])
    if adapt.residuals.enabled:
        known = _some_rows(run)
        names, p = adapt.residuals.similarities, np.full(len(known), 0.5)
        mixture.similarity = make_similarity(names, dataset, models, known, p)
    adaptation = make_adaptation("metaselector", mixture, config)
    rows = protocol.sample(protocol.learners[:USERS], np.random.default_rng(0))
    if not len(rows.users):  # users with few rows may have no query in the window
        return
    episode = EpisodeLoss(
        mixture,
        adaptation.initial_rates(parameters_of(mixture)),
        adaptation,
        make_engine(adapt.engine),
        make_loss(dataset.schema.tasks, adapt.task_weights),
        keep_sign=config.meta_train.keep_sign,
    )
    episodes = load_episodes(dataset, rows, mixture.similarity if adaptation.residuals else None)
    with torch.random.fork_rng():
        mixture.train(adapt.inner_dropout)
        episode.accumulate_gradients(episodes.to(config.device), adapt.max_users_per_chunk)


def _culprit(run: Run, models: Mapping[str, nn.Module], error: Exception) -> str:
    """What to tell the user about an error of adaptation: whose it is, and what to change."""
    config = run.config
    plain = config.model_copy(
        update={
            "selector": SelectorConfig(),
            "adapt": AdaptConfig().model_copy(update={"engine": config.adapt.engine}),
        }
    )
    for name, model in models.items():
        try:
            _adapt(run, {name: model}, plain)
        except Exception as of_model:
            return f"base_models.{name}: cannot be adapted per user ({mishap(of_model)}); {_PLAIN}"
    kind, rule = config.selector.kind, config.adapt.rule
    if kind not in (None, *SELECTORS.built_in):
        return f"selector.kind={kind}: cannot be adapted per user ({mishap(error)}); {_PLAIN}"
    if rule not in RULES.built_in:
        return f"adapt.rule={rule}: fails in the inner loop ({mishap(error)}); correct the rule"
    raise error


def _let_pass(error: Exception) -> None:
    """Raise what the machine refuses, such as memory, as it is."""
    text = str(error)
    if isinstance(error, OSError | MemoryError) or re.search("(allocate|out of) memory", text):
        raise error
