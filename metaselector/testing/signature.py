"""Check the constructor's signature."""

from __future__ import annotations

import inspect
from inspect import Parameter

from metaselector.testing.subject import Subject

GIVEN = ("num_ids", "slot_fields")
"""Arguments set from the data, before ``tasks`` and the options."""


def constructor_is_plain(subject: Subject) -> None:
    """All options are named, so that misspelt options are errors."""
    parameters = inspect.signature(subject.cls).parameters
    if tuple(parameters)[:2] != GIVEN:
        subject.fail(
            f"its constructor begins with {list(parameters)[:2]}; the first two arguments must be "
            "num_ids and slot_fields"
        )
    for name, parameter in parameters.items():
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD):
            subject.fail(
                f"its constructor takes *{name}, which hides misspelt options; name every option"
            )
    for option in getattr(subject.cls, "fields", {}):
        if option not in parameters:
            subject.fail(f"fields lists '{option}', which is not an argument of its constructor")


def options_have_values(subject: Subject) -> None:
    """Every option has a default, so that settings can leave it out."""
    known = {*GIVEN, "tasks", *getattr(subject.cls, "fields", {}), *subject.options}
    for name, parameter in inspect.signature(subject.cls).parameters.items():
        if parameter.default is Parameter.empty and name not in known:
            subject.fail(
                f"option '{name}' has no default; add one to the constructor's signature, list it "
                "in `fields` if it is a field, or pass it to check_base_model(..., options)"
            )
