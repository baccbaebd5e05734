"""Messages name what an extra requires."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError

import pytest

from metaselector.common import extras
from metaselector.common.extras import install_extra


@pytest.mark.parametrize(
    ("extra", "command"),
    [
        ("higher", "pip install 'higher>=0.2.1'"),
        ("torchjd", "pip install 'torchjd[quadprog-projector]>=0.18'"),
    ],
)
def test_the_command_names_the_requirement(extra: str, command: str) -> None:
    assert install_extra(extra) == command


def test_several_requirements() -> None:
    assert install_extra("mlflow").count(">=") == 3


def test_without_metadata(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(extras, "requires", missing)
    assert install_extra("lightgbm") == "pip install lightgbm"
