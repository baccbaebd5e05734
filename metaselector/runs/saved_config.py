"""A run's ``config.yaml``, which the next command reads its settings from."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import yaml

from metaselector.common.files import write_text
from metaselector.runs.run import CONFIG, Run
from metaselector.training.distributed import workers


def save_config(run: Run) -> None:
    """Write the run's settings to its directory."""
    write_text(run.directory / CONFIG, _written(run))


def _written(run: Run) -> str:
    return yaml.safe_dump(run.config.model_dump(mode="json"), sort_keys=False)


@contextmanager
def kept_config(run: Run) -> Iterator[None]:
    """Save the run's settings before work that may be interrupted; undo that if the work fails.

    An interruption keeps them, so that the command can be continued.
    """
    if not workers.is_main():
        yield
        return
    path = run.directory / CONFIG
    before = path.read_text(encoding="utf-8") if path.exists() else None
    if before == _written(run):
        yield
        return
    save_config(run)
    try:
        yield
    except Exception:  # not KeyboardInterrupt
        if before is None:
            path.unlink()
        else:
            write_text(path, before)
        raise
