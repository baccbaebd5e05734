"""The runner keeps outputs, and nothing that is wrong passes it."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest

pytest.importorskip("ipykernel", reason="make notebooks brings it")
pytest.importorskip("nbclient", reason="make notebooks brings it")
pytest.importorskip("jupytext", reason="make notebooks brings it")

FILE = Path(__file__).parents[2] / "notebooks" / "execute.py"


@pytest.fixture(scope="module")
def runner() -> ModuleType:
    spec = importlib.util.spec_from_file_location("execute_notebooks", FILE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def written(folder: Path, *cells: str) -> Path:
    path = folder / "00-some.py"
    path.write_text("\n\n".join(f"# %%\n{cell}" for cell in cells) + "\n", encoding="utf-8")
    return path


def test_outputs_and_nothing_else_are_kept(runner: ModuleType, tmp_path: Path) -> None:
    script = written(tmp_path, "from pathlib import Path", "Path('setup.cfg').exists()")
    notebook = runner.execute(script)
    assert notebook.cells[1].outputs[0].data["text/plain"] == "True"  # from the root
    assert [cell.id for cell in notebook.cells] == ["cell-0", "cell-1"]
    assert not any(cell.metadata for cell in notebook.cells)
    assert set(notebook.metadata) == {"kernelspec", "language_info"}


def test_progress_is_left_out(runner: ModuleType, tmp_path: Path) -> None:
    pytest.importorskip("ipywidgets", reason="make setup brings it")
    script = written(
        tmp_path,
        "from metaselector.api.notebook import default_progress\nprogress = default_progress()",
        "with progress.task('train', 1) as advance:\n    advance()\n"
        "progress.skipped('test')\nprint('trained')",
        "from IPython.display import display\ndisplay('shown')\n'last'",
    )
    _, trained, shown = (cell.outputs for cell in runner.execute(script).cells)
    assert [output.text for output in trained] == ["trained\n"]
    assert [output.data["text/plain"] for output in shown] == ["'last'"]


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import warnings\nwarnings.warn('old')", "UserWarning"),
        ("import sys\nprint('watch out', file=sys.stderr)", "watch out"),
        ("import sys\nprint('note: a\\nwatch out', file=sys.stderr)", "watch out"),
    ],
)
def test_what_is_wrong_fails(runner: ModuleType, tmp_path: Path, cell: str, said: str) -> None:
    from nbclient.exceptions import CellExecutionError

    with pytest.raises((CellExecutionError, RuntimeError), match=said):
        runner.execute(written(tmp_path, cell))


def test_a_pair_that_differs_is_seen(runner: ModuleType, tmp_path: Path) -> None:
    import jupytext

    script = written(tmp_path, "1", "2")
    assert not runner.in_sync(script)
    jupytext.write(jupytext.read(script), script.with_suffix(".ipynb"))
    assert runner.in_sync(script)
    written(tmp_path, "1", "3")
    assert not runner.in_sync(script)
