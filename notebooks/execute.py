"""Execute the notebooks from their .py files and save the outputs in the .ipynb files.

python notebooks/execute.py             # all, in place
python notebooks/execute.py 02 04       # those whose names start with 02 or 04
python notebooks/execute.py --check     # in a temporary folder; fails if .py and .ipynb differ

A check has a run of its own with the settings of the smoke run, which takes a fraction of the time.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

import jupytext
import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode

FOLDER = Path(__file__).resolve().parent
SECONDS = 1800
"""Time limit of a cell; a busy machine may need many times the usual."""
WARNINGS = "error,ignore::PendingDeprecationWarning:ipykernel.kernelbase"
"""The kernel itself emits a warning when it ends."""
IN_CHECKS = {
    "runs/notebooks/movielens-100k": "runs/notebooks/check",
    "directory=RUN)": 'directory=RUN, config="benchmarks/configs/smoke.yaml")',
}
"""What a check replaces in the notebooks 01 to 03."""


def cells(notebook: NotebookNode) -> list[tuple[str, str]]:
    return [(cell.cell_type, cell.source) for cell in notebook.cells]


def in_sync(script: Path) -> bool:
    """Whether a .py file and its .ipynb have the same cells."""
    notebook = script.with_suffix(".ipynb")
    return notebook.exists() and cells(jupytext.read(script)) == cells(
        nbformat.read(notebook, as_version=4)
    )


def is_progress(output: NotebookNode) -> bool:
    """Whether it is what a progress bar leaves: a line with a time, displayed as text alone."""
    return output.output_type == "display_data" and set(output.data) == {"text/plain"}


def execute(script: Path, *, check: bool = False) -> NotebookNode:
    """Execute the cells of `script`; the result has no trace of the machine or the time.

    Progress is left out.

    Python warnings are errors, and so is any output on standard error except notes.

    Raises:
        nbclient.exceptions.CellExecutionError: a cell fails.
        RuntimeError: a cell wrote to standard error.
    """
    notebook = jupytext.read(script)
    if check and any(
        "MetaSelector(seed=0, directory=RUN)" in cell.source for cell in notebook.cells
    ):
        for cell in notebook.cells:
            for found, instead in IN_CHECKS.items():
                cell.source = cell.source.replace(found, instead)
    client = NotebookClient(
        notebook,
        timeout=SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--log-level=ERROR"],
        resources={"metadata": {"path": str(FOLDER.parent)}},
    )
    waiting = {"OMP_WAIT_POLICY": "passive"}  # idle threads leave the cores to other processes
    client.execute(env=waiting | os.environ | {"PYTHONWARNINGS": WARNINGS})
    for number, cell in enumerate(notebook.cells):
        cell.id, cell.metadata = f"cell-{number}", NotebookNode()
        if "outputs" in cell:
            cell.outputs = [output for output in cell.outputs if not is_progress(output)]
        for output in cell.get("outputs", ()):
            lines = output.text.splitlines() if output.get("name") == "stderr" else []
            if not all(line.startswith("note: ") for line in lines):
                raise RuntimeError(
                    f"{script.name}: unexpected output on standard error:\n{output.text}"
                )
    python = {"display_name": "Python 3", "language": "python", "name": "python3"}
    notebook.metadata = NotebookNode(kernelspec=python, language_info={"name": "python"})
    return notebook


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", default=[""], help="beginnings of names; default: all")
    parser.add_argument("--check", action="store_true", help="change no files")
    given = parser.parse_args()
    scripts = [s for s in sorted(FOLDER.glob("[0-9]*.py")) if s.name.startswith(tuple(given.names))]
    if not scripts:
        sys.exit(f"no notebook starts with {' or '.join(given.names)}")
    apart = [script.name for script in scripts if given.check and not in_sync(script)]
    if apart:
        sys.exit(f"{', '.join(apart)}: the .ipynb has different cells; run make notebooks")
    with tempfile.TemporaryDirectory() as elsewhere:
        folder = Path(elsewhere) if given.check else FOLDER
        for script in scripts:
            started = time.perf_counter()
            path = folder / f"{script.stem}.ipynb"
            nbformat.write(execute(script, check=given.check), path)
            seconds, size = time.perf_counter() - started, path.stat().st_size / 1000
            print(f"{script.stem:<32} {seconds:5.0f} s {size:5.0f} KB", flush=True)


if __name__ == "__main__":
    main()
