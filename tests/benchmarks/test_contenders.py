"""The models that are timed: bare loops and the loops of other libraries."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from benchmarks import deepfm_peers
from benchmarks.contenders import Contender, Inputs, Settings, bare_loops, check_learned
from benchmarks.peers import Column

N = 24
SETTINGS = Settings(4, (8,), 0.1, 8, "cpu")


@pytest.fixture
def labels() -> Tensor:
    return (torch.arange(N) % 2).float()


class Sum(nn.Module):
    """A probability from one number per row, the label."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(()))

    def forward(self, inputs: Inputs) -> Tensor:
        x = inputs if isinstance(inputs, Tensor) else inputs["x"]
        return torch.sigmoid(self.weight * (2 * x - 1))


@pytest.mark.parametrize("keyed", [False, True])
def test_bare_loops_train_on_all_rows_and_predict_them_in_order(
    keyed: bool, labels: Tensor
) -> None:
    loops = bare_loops("peer", Sum, {"x": labels} if keyed else labels, labels, SETTINGS)
    assert list(loops) == ["peer loop", "peer loop, fused Adam"]
    for loop in loops.values():
        loop.train()
        assert torch.equal(loop.predict() > 0.5, labels == 1)


def test_a_contender_no_better_than_the_mean_label_has_not_learned(labels: Tensor) -> None:
    sure = Contender(lambda: None, lambda: 0.8 * labels + 0.1)
    assert check_learned({"sure": sure}, labels)["sure"] == pytest.approx(-torch.tensor(0.9).log())
    unsure = Contender(lambda: None, lambda: torch.full((N,), 0.4))
    with pytest.raises(RuntimeError, match="unsure has learned nothing"):
        check_learned({"sure": sure, "unsure": unsure}, labels)


def test_the_deepfms_of_other_libraries_train_and_predict(labels: Tensor) -> None:
    pytest.importorskip("deepctr_torch", reason="run `make benchmark-peers`")
    pytest.importorskip("torch_rechub", reason="run `make benchmark-peers`")
    fields = {
        "user": Column(7, torch.randint(1, 7, (N, 1))),
        "history": Column(5, torch.randint(0, 5, (N, 3))),
    }
    found = deepfm_peers.peers(fields, labels, SETTINGS)
    assert len(found) == 6
    for contender in found.values():
        before = contender.predict()
        contender.train()
        after = contender.predict()
        assert after.shape == labels.shape
        assert not torch.equal(before, after)
