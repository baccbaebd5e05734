"""What a run was made with, so that its numbers can be believed and repeated."""

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

from metaselector.common.errors import UserError
from metaselector.common.text import shown

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
    """Raise a :class:`UserError` unless torch can compute on `device`."""
    import torch

    try:
        torch.zeros(1, device=device).item()
    except Exception as error:  # whatever the backend of another device does
        reason = str(error).partition("\n")[0]
        raise UserError(
            f"device {shown(device)} cannot be used here ({reason}); use cpu"
        ) from error


def describe(
    *, seconds: float, training_seconds: float, threads: int, device: str, data_sha256: str
) -> dict[str, Any]:
    """Command, date, machine, versions and data of a run.

    Args:
        seconds: wall-clock time of the command.
        training_seconds: of that and earlier commands, the time that training took.
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
        "packages": _versions(),
        "platform": platform.platform(),
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "device": device,
        "gpu": gpu,
    }


def command() -> str:
    """The command line of this process, as one would type it."""
    main = sys.modules["__main__"]
    spec, file = getattr(main, "__spec__", None), getattr(main, "__file__", None)
    program = [Path(sys.argv[0]).name]
    if spec is not None and sys.argv[0] == file:  # python -m, which puts the module's file there
        program = ["python", "-m", spec.name.removesuffix(".__main__")]
    return shlex.join([*program, *sys.argv[1:]])


def _versions() -> dict[str, str]:
    """Of :data:`PACKAGES`, without optional ones that are not installed."""
    found = {}
    for name in PACKAGES:
        with suppress(PackageNotFoundError):
            found[name] = version(name)
    return found


def processor() -> str:
    """The processor's name; Linux alone tells it in a file."""
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _commit() -> str | None:
    """The commit of the checkout this package runs from, or None where it is installed."""
    root = Path(__file__).resolve().parent.parent
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
