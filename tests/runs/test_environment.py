"""What ``environment.json`` records."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from metaselector.common.errors import UserError
from metaselector.runs.environment import check_device, describe

ROOT = Path(__file__).parents[2]


def test_the_commit_of_a_checkout_is_recorded() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip("needs a checkout with git")
    describe_head = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"]
    expected = subprocess.run(describe_head, capture_output=True, text=True, check=True).stdout
    found = describe(seconds=1.0, training_seconds=2.0, threads=1, device="cpu", data_sha256="0")
    assert found["commit"] == expected.strip()


def test_a_device_that_torch_cannot_use_is_refused() -> None:
    check_device("cpu")
    with pytest.raises(UserError, match=r"device 'warp' cannot be used here \(.*\); use cpu"):
        check_device("warp")
