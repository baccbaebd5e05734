"""Base models by name: built in, from entry points of other packages, or from a file."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from metaselector.common.errors import ConfigError, mishap, nearest
from metaselector.config import Config, change_config
from metaselector.config.plugins.from_file import is_in_file
from metaselector.config.plugins.kinds import ESTIMATORS
from metaselector.config.plugins.registry import Plugin, Plugins, load_target
from metaselector.data.encoded.batch import empty_rows
from metaselector.data.encoded.schema import Schema
from metaselector.models.kernels.on_rows import outputs_of_padding

GROUP = "metaselector.base_models"
BUILT_IN = {
    "lr": "base_models.lr:LR",
    "fm": "base_models.fm:FM",
    "deepfm": "base_models.deepfm:DeepFM",
    "additive": "base_models.additive:Additive",
    "itemknn": "base_models.itemknn:ItemKNN",
    "sequence": "base_models.sequence:SequenceAttention",
    "shared-bottom": "base_models.shared_bottom:SharedBottom",
    "mmoe": "base_models.mmoe:MMoE",
    "cgc": "base_models.cgc:CGC",
    "ple": "base_models.ple:PLE",
    "esmm": "base_models.esmm:ESMM",
    "aitm": "base_models.aitm:AITM",
    "rnr": "base_models.rnr:RnR",
    "mran": "base_models.mran:MRAN",
    "single-task": "base_models.single_task:SingleTask",
}
PER_TASK = "base_models.per_task:PerTask"
"""Turns single-task models into a multi-task one."""
MODELS = Plugins("base model", GROUP, BUILT_IN)


def register(name: str, model: type[nn.Module]) -> None:
    """Make the class `model` available as `name` in this process.

    Example:
        >>> class Mine(nn.Module):
        ...     "A base model."
        >>> register("mine", Mine)
        >>> "mine" in names()
        True
        >>> del MODELS.registered["mine"]
    """
    MODELS.register(name, model)


def names() -> list[str]:
    """Names of all registered base models.

    Example:
        >>> {"lr", "fm", "deepfm"} <= set(names())
        True
    """
    return MODELS.names()


def model_class(name: str) -> type[nn.Module]:
    """The class behind `name`, which may be ``path/to/file.py:Class``.

    Raises:
        ConfigError: there is no such class, or its file or package fails to load.
    """
    found: type[nn.Module] = MODELS.load(name, nn.Module)
    return found


def check_names(config: Config) -> None:
    """Check that all base models are known, without loading any; files stay unopened.

    Raises:
        ConfigError: a name is unknown; states the nearest.
    """
    for name, model in config.base_models.items():
        if not model.gives_scores:
            MODELS.check(model.model or name)


def add_files(config: Config, files: Iterable[str]) -> Config:
    """Add base models, each ``path/to/file.py:Class``, under the names of their classes.

    Raises:
        ConfigError: a file or class cannot be used, or another base model has that name.
    """
    for name in files:
        if not is_in_file(name):
            raise _no_file(name)
        called = model_class(name).__name__.lower()
        path, _, attribute = name.rpartition(":")
        target = f"{Path(path).expanduser().resolve()}:{attribute}"
        present = config.base_models.get(called)
        if called in names() or (present is not None and present.model != target):
            raise ConfigError(
                f"--base-model {name}: another base model is called '{called}'; rename the "
                "class, or choose another name in a configuration: "
                f"base_models.NAME.model: {target}"
            )
        config = change_config(config, {f"base_models.{called}.model": target})
    return config


def _no_file(name: str) -> ConfigError:
    """The error of a ``--base-model`` that is no file, with the nearest name if it may be one."""
    problem = f"--base-model {name}: expected path/to/file.py:Class"
    if not name.replace("-", "").isalnum():
        return ConfigError(problem)
    known = names()
    called, near = (name, "") if name in known else ("NAME", f"; {nearest(name, known)}")
    return ConfigError(
        f"{problem}; a base model without a file is added with "
        f"--set base_models.{called}={{}}{near}"
    )


def in_files(config: Config) -> list[Plugin]:
    """The base models and estimators in files, as the list of plug-ins shows them."""
    return [
        Plugin(kind.kind, name, target, kind.summary(target))
        for name, model in config.base_models.items()
        for kind, target in ((MODELS, model.model), (ESTIMATORS, model.estimator))
        if target and is_in_file(target)
    ]


def build_base_model(
    name: str, schema: Schema, options: Mapping[str, Any], seed: int, called: str | None = None
) -> nn.Module:
    """Build the base model `name` for the data of `schema`, initialised from `seed`.

    A model whose constructor takes ``tasks`` gets the tasks of the data, which must have several,
    as tuples (index of the preceding task, if any; False, as all labels are binary), and gives
    logits ``[..., B, T]``. Any other model gives ``[..., B]``; with several tasks, one is built for
    each.

    Args:
        options: the constructor's arguments. Those in the model's ``fields`` are names of fields;
            the constructor gets their indices.
        called: its name in the settings, for messages; `name` by default.

    Raises:
        ConfigError: the model or an option is unknown, the data lacks a field, or the constructor
            fails, for example on tasks that it cannot learn.

    Example:
        >>> import numpy as np
        >>> from metaselector.data.planted import planted_world
        >>> schema = planted_world(2, 5, 4, np.random.default_rng(0)).dataset.schema
        >>> type(build_base_model("fm", schema, {"embedding_size": 4}, seed=0)).__name__
        'FM'
    """
    cls, called = model_class(name), called or name
    try:
        model = construct(cls, schema, options, seed, called)
    except ConfigError:
        raise
    except Exception as error:  # whatever a plug-in does, or an option of the wrong type
        raise ConfigError(
            f"base_models.{called}: {cls.__name__} cannot be built ({mishap(error)}); correct its "
            "options, or the class"
        ) from error
    if name not in BUILT_IN:
        _check_logits(model, schema, called)
    return model


def _check_logits(model: nn.Module, schema: Schema, called: str) -> None:
    """Check the logits of a plug-in on two empty rows."""
    shape = [2] if len(schema.tasks) == 1 else [2, len(schema.tasks)]
    training = model.training
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            logits = outputs_of_padding(model.eval(), empty_rows(2, len(schema.slot_fields)))
    except Exception as error:
        raise ConfigError(
            f"base_models.{called}: fails to score ({mishap(error)}); check_base_model of "
            "metaselector.testing says what is expected"
        ) from error
    finally:
        model.train(training)
    found = list(logits.shape) if isinstance(logits, torch.Tensor) else type(logits).__name__
    if found != shape:
        raise ConfigError(
            f"base_models.{called}: gives {found}, not logits of shape {shape}, for two rows"
        )


def construct(
    cls: type[nn.Module], schema: Schema, options: Mapping[str, Any], seed: int, called: str
) -> nn.Module:
    """Build a model of the class `cls`; see :func:`build_base_model`."""
    parameters = set(inspect.signature(cls).parameters)
    valid = parameters - {"num_ids", "slot_fields", "tasks"}
    for option in options:
        if option not in valid:
            raise ConfigError(
                f"base_models.{called}.options.{option}: unknown option; "
                + (nearest(option, valid) if valid else "this model has none")
            )
    positions = [field.name for field in schema.fields]
    arguments = dict(options)
    for option, usual in getattr(cls, "fields", {}).items():
        field = str(options.get(option, usual))
        if field not in positions:
            raise ConfigError(
                f"base_models.{called}.options.{option}: the data has no field '{field}'; "
                + nearest(field, positions)
            )
        arguments[option] = positions.index(field)
    shape = schema.num_ids, schema.slot_fields
    tasks = [(parent, False) for parent in schema.parents]
    if "tasks" in parameters and len(tasks) == 1:
        raise ConfigError(
            f"base_models.{called}: {cls.__name__} is a multi-task model, but the data has only "
            f"one task, {schema.tasks[0]}; use a single-task model"
        )
    # The global generator is used by torch's initialisers; fork it, so that ours leaves no trace.
    # torch.manual_seed would also seed every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            if "tasks" in parameters:
                return cls(*shape, tasks, **arguments)
            if len(tasks) == 1:
                return cls(*shape, **arguments)
            return load_target(PER_TASK)(*shape, tasks, lambda: cls(*shape, **arguments))
        except ValueError as error:
            raise ConfigError(f"base_models.{called}: {error}") from error
