"""Which pairs are labelled for a model."""

from __future__ import annotations

import pytest
import torch

from metaselector.training.peer_learning.confident import agreement, by_others, choose


def test_only_others_label_for_a_model() -> None:
    p = torch.tensor([[0.9, 0.2, 0.4], [0.1, 0.6, 0.8]])
    torch.testing.assert_close(by_others(p, 0), torch.tensor([0.3, 0.7]))
    torch.testing.assert_close(by_others(p[:, :2], 1), p[:, 0])


def test_the_most_confident_of_either_class_are_chosen() -> None:
    labels = torch.tensor([0.95, 0.1, 0.6, 0.85, 0.01, 0.99, 0.2, 0.5])
    assert choose(labels, 0.8, 4, 0.5).tolist() == [0, 1, 4, 5]
    assert choose(labels, 0.8, 4, 0.75).tolist() == [0, 3, 4, 5]
    assert choose(labels, 0.97, 100, 0.5).tolist() == [4, 5]
    assert choose(labels, 0.5, 100, 0.5).tolist() == list(range(8))
    assert choose(labels, 0.8, 0, 0.5).tolist() == []


def test_agreement_counts_sides() -> None:
    p = torch.tensor([[0.9, 0.6, 0.1], [0.2, 0.3, 0.4]])
    assert agreement(p) == pytest.approx((1 + 0.5 + 0.5) / 3)
    assert agreement(p[:, :2]) == 1
