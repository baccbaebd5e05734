"""Base models by name: the built-in ones and those that other packages offer as entry points."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from importlib.metadata import entry_points
from typing import Any

import torch
from torch import nn

from metaselector.data.schema import Schema
from metaselector.errors import ConfigError, nearest

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
"""Makes a multi-task model of single-task ones."""
_registered: dict[str, type[nn.Module]] = {}


def register(name: str, model: type[nn.Module]) -> None:
    """Make the class `model` available as `name` in this process."""
    if name in names():
        raise ConfigError(f"a base model called '{name}' exists already; choose another name")
    _registered[name] = model


def names() -> list[str]:
    """All base models that can be asked for."""
    return sorted({*BUILT_IN, *_registered, *(point.name for point in entry_points(group=GROUP))})


def model_class(name: str) -> type[nn.Module]:
    """The class behind `name`.

    Raises:
        ConfigError: there is none; names the nearest.
    """
    if name in _registered:
        return _registered[name]
    if name in BUILT_IN:
        return _load(BUILT_IN[name])
    for point in entry_points(group=GROUP, name=name):
        plug_in: type[nn.Module] = point.load()
        return plug_in
    raise ConfigError(f"unknown base model '{name}'; {nearest(name, names())}")


def create(name: str, schema: Schema, options: Mapping[str, Any], seed: int) -> nn.Module:
    """Build the base model `name` for the data of `schema`, initialised from `seed`.

    A model whose constructor takes ``tasks`` gets those of the data, as tuples (index of the task
    it is after, if any; False, as no label is a number), and gives logits ``[..., B, T]``. Any
    other gives ``[..., B]`` where the data have one task, and is made once for each of several.

    Args:
        options: the constructor's arguments; those in the model's ``fields`` are names of fields,
            of which the constructor gets the index.

    Raises:
        ConfigError: unknown model or option, a field that the data has not, or what the model's
            constructor refuses, such as tasks that it cannot learn.
    """
    cls = model_class(name)
    parameters = set(inspect.signature(cls).parameters)
    valid = parameters - {"num_ids", "slot_fields", "tasks"}
    for option in options:
        if option not in valid:
            raise ConfigError(
                f"base_models.{name}.options.{option}: unknown option; "
                + (nearest(option, valid) if valid else "this model has none")
            )
    positions = [field.name for field in schema.fields]
    arguments = dict(options)
    for option, usual in getattr(cls, "fields", {}).items():
        field = str(options.get(option, usual))
        if field not in positions:
            raise ConfigError(
                f"base_models.{name}.options.{option}: the data has no field '{field}'; "
                + nearest(field, positions)
            )
        arguments[option] = positions.index(field)
    shape = schema.num_ids, schema.slot_fields
    tasks = [(parent, False) for parent in schema.parents]
    # The global generator is used by torch's initialisers; fork it, so that ours leaves no trace.
    # torch.manual_seed would also seed every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        try:
            if "tasks" in parameters:
                return cls(*shape, tasks, **arguments)
            if len(tasks) == 1:
                return cls(*shape, **arguments)
            return _load(PER_TASK)(*shape, tasks, lambda: cls(*shape, **arguments))
        except ValueError as error:
            raise ConfigError(f"base_models.{name}: {error}") from error


def _load(target: str) -> type[nn.Module]:
    module, attribute = target.split(":")
    loaded: type[nn.Module] = getattr(importlib.import_module(module), attribute)
    return loaded
