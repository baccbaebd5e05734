"""Linear layers whose weights are never formed, whatever their size."""

from __future__ import annotations

import pytest

from tests.meta.adapt.engines.factored_layers import Steps, all_linear, list_steps


@pytest.fixture
def steps_taken(monkeypatch: pytest.MonkeyPatch) -> Steps:
    """All linear layers are factored; their steps."""
    return list_steps(monkeypatch, all_linear)
