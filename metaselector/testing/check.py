"""Run all checks of a base model in order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from metaselector.data.encoded.schema import Schema
from metaselector.models.registry import model_class
from metaselector.testing import adaptation, gradients, outputs, saving, signature, tables
from metaselector.testing.subject import Subject, schema_for

CHECKS = (
    signature.constructor_is_plain,
    signature.options_have_values,
    tables.tables_are_parameters,
    outputs.one_logit_a_row_and_task,
    outputs.forward_repeats,
    outputs.single_rows_agree,
    outputs.leading_axes_agree,
    outputs.forward_changes_no_state,
    outputs.parameters_are_those_given,
    outputs.logits_are_no_probabilities,
    tables.padding_counts_for_nothing,
    tables.ids_index_tables_only,
    gradients.every_parameter_matters,
    gradients.first_and_second_derivatives,
    adaptation.adapts_like_a_plain_loop,
    saving.seed_decides_the_weights,
    saving.weights_survive_a_file,
)
"""Each takes a :class:`Subject`; later checks may rely on earlier ones."""


def check_base_model(
    model: type[nn.Module] | str,
    options: Mapping[str, Any] | None = None,
    *,
    schema: Schema | None = None,
    seed: int = 0,
    bounded_logits: bool = False,
) -> None:
    """Check that `model` is a base model that can be trained, adapted, saved and combined.

    It takes about a second, in float64, with random parameters and slots. A model whose constructor
    takes ``tasks`` is checked with two tasks, the second observed only where the first is 1.

    Args:
        model: its class, its name, or ``path/to/file.py:Class``.
        options: constructor options, as in ``base_models.<name>.options``; small sizes are faster.
        schema: schema of the test data; by default users, genres, items, a number and an item
            history, and a categorical field for every other name in ``fields``.
        seed: random seed of initial parameters and slots.
        bounded_logits: accept outputs that all lie between 0 and 1, which otherwise count as
            probabilities.

    Raises:
        AssertionError: the first problem, and what to do about it.
        ConfigError: the model is unknown, or its options are invalid.

    Example:
        >>> check_base_model("fm", {"embedding_size": 2})  # raises what is wrong
    """
    cls = model_class(model) if isinstance(model, str) else model
    subject = Subject(cls, dict(options or {}), schema or schema_for(cls), seed, bounded_logits)
    with torch.random.fork_rng(devices=[]):  # dropout in training mode draws from it
        torch.default_generator.manual_seed(seed)
        for check in CHECKS:
            check(subject)
