"""Kernels run on torch's private names, and on its public ones where a version lacks those."""

from __future__ import annotations

import pytest

from metaselector.models.kernels import intercept


@pytest.fixture(params=["private names", "public names"])
def torch_names(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.param == "public names":
        monkeypatch.setattr(intercept, "_private", None)
