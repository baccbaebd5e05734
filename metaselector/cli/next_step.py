"""Tell the user which command to run next."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from metaselector.common.streams import tell

if TYPE_CHECKING:
    from metaselector.runs.run import Run


def tell_next(*arguments: object) -> None:
    """Print a command of this program, which can be pasted, as the last line on standard error."""
    sys.stdout.flush()
    tell(f"next: {shlex.join([*_program(), *map(str, arguments)])}")


def predict_own_log(run: Run, data: Path | None) -> None:
    """After training on a user's own log, print the command that predicts for its users.

    Nothing is printed for other data, a query or Excel, nor if the run cannot predict new rows.
    """
    from metaselector.config.plugins.consent import named_code
    from metaselector.data.own.log_schema import load_schema
    from metaselector.data.own.own_log import is_schema
    from metaselector.data.own.source import EXCEL

    schema = Path(run.config.dataset)
    if not is_schema(str(schema)) or run.scored:
        return
    source = load_schema(schema).interactions
    if data is None and not isinstance(source, str):
        return  # the rows of a query are in no file that could be given
    log = data or Path(os.path.normpath(schema.parent / str(source)))
    if log.suffix.lower() == EXCEL:
        return  # which predict does not read
    output = run.directory / "predictions.csv"
    consent = ["--allow-code"] if named_code(run.config.model_dump(mode="json")) else []
    tell_next(*("predict", "--run", run.directory, "--history", log, "--output", output), *consent)


def _program() -> list[str]:
    """How to call this program again: by name if the shell finds it, else as it was called."""
    path = Path(sys.argv[0])
    if path.name == "__main__.py":
        return [sys.executable, "-m", "metaselector"]
    found = shutil.which(path.name)
    if found is not None and Path(found).resolve() == path.resolve():
        return [path.name]
    return [os.path.relpath(path) if path.is_absolute() else str(path)]
