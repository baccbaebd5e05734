"""Similarities of a window are built once, when they are asked for."""

from __future__ import annotations

import weakref
from functools import partial

import pytest
from torch import nn

from metaselector.models.similarity.contract import Similarities
from metaselector.runs.run_similarity import LateSimilarity


def test_what_built_them_is_not_kept() -> None:
    """It holds copies of the base models."""
    built = []

    def build(model: nn.Module) -> Similarities:
        built.append(type(model))
        return Similarities({})

    model = nn.Linear(1, 1)
    held = weakref.ref(model)
    late = LateSimilarity(partial(build, model))
    del model
    assert held() is not None
    assert built == []
    assert late.names == ()
    assert held() is None
    assert late.parts == {}
    assert len(built) == 1


def test_a_failure_is_told_again() -> None:
    def build() -> Similarities:
        raise ValueError("no luck")

    late = LateSimilarity(build)
    for _ in range(2):
        with pytest.raises(ValueError, match="no luck"):
            _ = late.names
