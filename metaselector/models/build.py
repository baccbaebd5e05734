"""Build the selector and the mixture that the settings ask for."""

from __future__ import annotations

import inspect
from collections.abc import Mapping

import torch
from torch import nn

from metaselector.common.errors import ConfigError, mishap, nearest
from metaselector.common.text import shown
from metaselector.config import Config, SelectorConfig
from metaselector.config.plugins.kinds import SELECTORS
from metaselector.data.encoded.batch import empty_rows
from metaselector.data.encoded.schema import Schema
from metaselector.models.kernels.on_rows import outputs_of_padding
from metaselector.models.mixture import Mixture


def build_selector(config: SelectorConfig, schema: Schema, num_models: int, seed: int) -> nn.Module:
    """A fresh selector over `num_models` base models, initialised from `seed`.

    Its constructor gets those of the following that it takes as keyword arguments: ``num_ids``,
    ``slot_fields``, ``num_models``, ``num_tasks``, the settings of ``selector`` except ``kind`` and
    ``options``, and the entries of ``options``.

    Raises:
        ConfigError: the selector or an option is unknown, or the constructor fails.
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
        except Exception as error:  # whatever a plug-in does
            problem = f"selector.kind={config.kind}: cannot be built ({mishap(error)})"
            raise ConfigError(problem) from error
        if config.kind not in (None, *SELECTORS.built_in):
            _check_weights(str(config.kind), selector, schema, num_models)
    return selector


def _check_weights(kind: str, selector: nn.Module, schema: Schema, num_models: int) -> None:
    """Check the weights of a plug-in on two empty rows."""
    tasks = () if len(schema.tasks) == 1 else (len(schema.tasks),)
    probabilities = torch.full((2, num_models, *tasks), 0.5)
    training = selector.training
    try:
        with torch.no_grad():
            rows = empty_rows(2, len(schema.slot_fields))
            weights = outputs_of_padding(selector.eval(), rows, probabilities)
    except Exception as error:
        raise ConfigError(
            f"selector.kind={kind}: fails to weigh ({mishap(error)}); it is called with a batch "
            "and the base models' probabilities"
        ) from error
    finally:
        selector.train(training)
    if not isinstance(weights, torch.Tensor) or weights.shape != probabilities.shape:
        found = list(weights.shape) if isinstance(weights, torch.Tensor) else type(weights).__name__
        raise ConfigError(
            f"selector.kind={kind}: gives {found}, not weights of the shape of the probabilities, "
            f"here {list(probabilities.shape)}"
        )
    sums = weights.sum(1)
    if not (weights >= 0).all() or not torch.allclose(sums, torch.ones_like(sums), atol=1e-3):
        raise ConfigError(
            f"selector.kind={kind}: gives weights that are negative, non-finite, or do not sum to "
            f"1 over the base models, such as {shown(weights[0].tolist())}"
        )


def build_mixture(
    base_models: Mapping[str, nn.Module],
    schema: Schema,
    config: Config,
    seed: int,
    selector: nn.Module | None = None,
) -> Mixture:
    """The base models under a selector, by default a fresh one, in evaluation mode."""
    if selector is None:
        selector = build_selector(config.selector, schema, len(base_models), seed)
    scored = any(model.gives_scores for model in config.base_models.values())
    slots = schema.num_slots if scored else None  # scores stand behind these
    mixture = Mixture(base_models, selector, len(schema.tasks), slots)
    return mixture.to(config.device).eval()
