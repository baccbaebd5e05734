"""Who may import whom."""

from __future__ import annotations

import ast
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEAVES = (
    "errors files yaml_mapping config data_config model_config selection_config "
    "training_config default_models variants progress environment plugins plugin_file "
    "plugin_dotted plugin_kinds adapters run_lock tracking trust common"
)
"""Modules of metaselector that import no other layer, and that every layer may import."""

LAYERS = [
    "data",
    "adapt",
    "selector make_selector mixture registry pretrain multi_task task_losses task_aggregation "
    "task_metrics testing frozen score_files estimators freezing transfer predict meta_learned "
    "make_adaptation make_mixture outer_optimizers valid_loss outer_loop meta_trainer finetune "
    "checkpoint training distributed inner_steps teaching",
    "evaluate",
    "report",
    "run_directory run_config checkpoint_settings session search_space stages pipeline",
    "trained adaptation_trace adapted_user prediction_files explanation api",
    "cli cli_options cli_settings cli_data cli_training cli_tuning cli_evaluation cli_inference "
    "cli_report __main__",
]
"""The layers of metaselector, lowest first. A module may import its own layer, lower ones and the
leaves. A new module belongs into one of these lines."""

LAYER_OF = {name: i for i, names in enumerate(LAYERS) for name in names.split()} | dict.fromkeys(
    LEAVES.split(), -1
)

FORBIDDEN = {
    "base_models": {"metaselector", "tests", "benchmarks", "examples"},
    "metaselector": {"base_models", "tests", "benchmarks", "examples"},
    "benchmarks": {"tests"},
    "examples": {"tests"},
    "notebooks": {"tests", "benchmarks", "examples"},
}
"""Packages that no file of a folder may import. The registry finds base models by name only."""


def files(folder: str) -> list[Path]:
    return sorted((ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Full names of the modules that `path` imports, wherever in the file it does."""
    package = path.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) - node.level + 1] if node.level else ()
            module = ".".join([*parents, *([node.module] if node.module else [])])
            yield module
            yield from (f"{module}.{alias.name}" for alias in node.names)


def unit(module: str) -> str | None:
    """``data`` for ``metaselector.data.batch`` and ``config`` for ``metaselector.config``."""
    parts = module.split(".")
    return parts[1] if parts[0] == "metaselector" and len(parts) > 1 else None


def unit_of_file(path: Path) -> str:
    return path.relative_to(ROOT / "metaselector").parts[0].removesuffix(".py")


def identify(path: Path) -> str:
    return str(path.relative_to(ROOT))


@pytest.mark.parametrize("path", files("metaselector"), ids=identify)
def test_imports_point_down(path: Path) -> None:
    own = unit_of_file(path)
    if own == "__init__":
        return  # the table of contents of the package
    layer = LAYER_OF[own]
    for module in imports(path):
        name = unit(module)
        if name in LAYER_OF:
            assert LAYER_OF[name] <= layer, f"{own} may not import {module}"


def test_every_module_has_a_layer() -> None:
    found = {unit_of_file(path) for path in files("metaselector")} - {"__init__"}
    assert found <= LAYER_OF.keys(), (
        f"add {sorted(found - LAYER_OF.keys())} to LAYERS or LEAVES in {Path(__file__).name}"
    )


@pytest.mark.parametrize("path", [p for f in FORBIDDEN for p in files(f)], ids=identify)
def test_packages_keep_apart(path: Path) -> None:
    forbidden = FORBIDDEN[path.relative_to(ROOT).parts[0]]
    found = {module.split(".")[0] for module in imports(path)}
    assert not found & forbidden


@pytest.mark.parametrize("path", files("base_models"), ids=identify)
def test_base_models_import_torch_only(path: Path) -> None:
    found = {module.split(".")[0] for module in imports(path)}
    assert found <= {"torch", "base_models", *sys.stdlib_module_names}


def test_the_parser_sees_every_kind_of_import(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Guards the tests above against a parser that finds nothing."""
    path = tmp_path / "metaselector" / "data" / "new.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "import torch\n"
        "from metaselector import adapt\n"
        "from ..evaluate import metrics\n"
        "from . import batch\n"
        "def late():\n    import metaselector.cli\n"
    )
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    found = {unit(module) for module in imports(path)}
    assert found == {None, "adapt", "evaluate", "data", "cli"}


def test_built_in_base_models_exist() -> None:
    """The one link that no import shows."""
    from metaselector.registry import BUILT_IN, PER_TASK

    for target in (*BUILT_IN.values(), PER_TASK):
        assert importlib.util.find_spec(target.split(":")[0]) is not None
