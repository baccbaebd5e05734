"""Python runs this at its start where PYTHONPATH names the folder: in all commands of tests.

There, too, whole runs choose the fair rival's settings among few. The search has tests of its own.
"""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from types import ModuleType
from typing import Any

SETTINGS = "metaselector.meta.finetune_settings"


def few_choices(module: Any) -> Any:
    """What to choose from in place of the ``LADDERS`` of the module."""
    one = module.Choice(*((value,) for value in module.Choice()))
    return one._replace(steps=(1, 2), prior_rows=(1.0, 3.0, 10.0))


class FewChoices(MetaPathFinder):
    """Changes the module when it is imported, if ever: importing it here would take seconds."""

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> ModuleSpec | None:
        if fullname != SETTINGS:
            return None
        sys.meta_path.remove(self)
        spec = find_spec(fullname)
        assert spec is not None
        assert spec.loader is not None
        execute = spec.loader.exec_module

        def change(module: ModuleType) -> None:
            execute(module)
            module.LADDERS = few_choices(module)  # type: ignore[attr-defined]

        spec.loader.exec_module = change  # type: ignore[method-assign]
        return spec


if __name__ == "sitecustomize":  # and not where tests import it
    sys.meta_path.insert(0, FewChoices())
