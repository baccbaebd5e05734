"""The command, machine and versions behind a run, so that its numbers can be reproduced."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys
from contextlib import suppress
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metaselector.common.errors import UserError, nearest
from metaselector.common.text import shown

ENVIRONMENT = "environment.json"
"""File of what :func:`describe` returns."""
PACKAGES = (
    "torch",
    "numpy",
    "pandas",
    "scikit-learn",
    "scipy",
    "pyarrow",
    "pydantic",
    "lightgbm",
)


def check_device(device: str) -> None:
    """Raise a :class:`~metaselector.common.errors.UserError` if torch cannot use `device`."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # each backend raises its own
        reason = str(error).partition("\n")[0]
        if reason.startswith("Expected one of"):  # which lists every device that torch knows of
            reason = f"unknown; {nearest(device.partition(':')[0], ('cpu', 'cuda', 'mps', 'xpu'))}"
        raise UserError(
            f"device {shown(device)} cannot be used here ({reason}); use cpu"
        ) from error


def describe(
    *, seconds: float, training_seconds: float, threads: int, device: str, data_sha256: str
) -> dict[str, Any]:
    """Return the command, date, machine, package versions and data digest of a run, as JSON.

    Args:
        seconds: wall-clock time of this command.
        training_seconds: time spent training, in this and earlier commands.
        threads: number of CPU threads.
        device: torch device.
        data_sha256: digest of the prepared data.
    """
    import torch

    gpu = torch.cuda.get_device_name(device) if device.startswith("cuda") else None
    return {
        "command": command(),
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "seconds": round(seconds, 1),
        "training_seconds": round(training_seconds, 1),
        "data_sha256": data_sha256,
        "metaselector": version("metaselector"),
        "commit": _commit(),
        "python": platform.python_version(),
        "packages": package_versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device,
        "gpu": gpu,
    }


def command() -> str:
    """Return the command line of this process, quoted for a shell."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    program = [Path(sys.argv[0]).name]
    if spec is not None and sys.argv[0] == file:  # python -m replaces argv[0] by the module's file
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def package_versions() -> dict[str, str]:
    """Return the versions of those :data:`PACKAGES` that are installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def processor() -> str:
    """Return the processor's name; outside Linux only its family or architecture."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """Return the commit of this checkout, or None if the package is installed elsewhere."""
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return None
    try:
        found = subprocess.run(
            ["git", "-C", str(root), "describe", "--always", "--dirty", "--abbrev=12"],
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found.stdout.strip()
