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
}
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
        module, attribute = BUILT_IN[name].split(":")
        built_in: type[nn.Module] = getattr(importlib.import_module(module), attribute)
        return built_in
    for point in entry_points(group=GROUP, name=name):
        plug_in: type[nn.Module] = point.load()
        return plug_in
    raise ConfigError(f"unknown base model '{name}'; {nearest(name, names())}")


def create(name: str, schema: Schema, options: Mapping[str, Any], seed: int) -> nn.Module:
    """Build the base model `name` for the data of `schema`, initialised from `seed`.

    Args:
        options: the constructor's arguments; those in the model's ``fields`` are names of fields,
            of which the constructor gets the index.

    Raises:
        ConfigError: unknown model or option, or a field that the data has not.
    """
    cls = model_class(name)
    valid = set(inspect.signature(cls).parameters) - {"num_ids", "slot_fields"}
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
    # The global generator is used by torch's initialisers; fork it, so that ours leaves no trace.
    # torch.manual_seed would also seed every device.
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        return cls(schema.num_ids, schema.slot_fields, **arguments)
