"""The selector that the settings ask for."""

from __future__ import annotations

import inspect

import torch
from torch import nn

from metaselector.config import SelectorConfig
from metaselector.data.schema import Schema
from metaselector.errors import ConfigError, nearest
from metaselector.plugin_kinds import SELECTORS


def make_selector(config: SelectorConfig, schema: Schema, num_models: int, seed: int) -> nn.Module:
    """A fresh selector over `num_models` base models, initialised from `seed`.

    Its class is called by name with those of these that its constructor has: ``num_ids``,
    ``slot_fields``, ``num_models``, ``num_tasks``, the settings of ``selector`` but ``kind`` and
    ``options``, and what stands in ``options``.

    Raises:
        ConfigError: unknown selector or option, or what the constructor refuses.
    """
    cls = SELECTORS.load(config.kind or "gated", nn.Module)
    parameters = inspect.signature(cls).parameters
    settings = {name: getattr(config, name) for name in type(config).model_fields}
    offered = settings | {
        "num_ids": schema.num_ids,
        "slot_fields": schema.slot_fields,
        "num_models": num_models,
        "num_tasks": len(schema.tasks),
    }
    given = {name: value for name, value in offered.items() if name in parameters}
    valid = set(parameters) - set(offered)
    for option in config.options or {}:
        if option not in valid:
            raise ConfigError(
                f"selector.options.{option}: unknown option; "
                + (nearest(option, valid) if valid else "this selector has none")
            )
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)  # torch.manual_seed would seed every device
        try:
            selector: nn.Module = cls(**given, **(config.options or {}))
        except (TypeError, ValueError) as error:
            raise ConfigError(f"selector.kind={config.kind}: {error}") from error
    return selector
