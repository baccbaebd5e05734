"""The synthetic tasks are related as specified, and the study runs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from typer.testing import CliRunner

from base_models.layers import FieldEmbedding
from benchmarks import multitask_synthetic
from benchmarks.correlated_tasks import INPUTS, NOISE_VARIANCE, SCALE, World, label_correlation
from benchmarks.multitask_synthetic import (
    CORRELATIONS,
    MODELS,
    Numbers,
    Together,
    app,
    draw,
    final_table,
    geometric_mean,
    new_model,
    study,
)


@pytest.mark.parametrize("correlation", CORRELATIONS)
def test_weights_have_the_correlation(correlation: float) -> None:
    for seed in range(5):
        gram = World(seed, correlation).weights @ World(seed, correlation).weights.T
        expected = SCALE**2 * torch.tensor([[1.0, correlation], [correlation, 1.0]])
        torch.testing.assert_close(gram, expected)


def test_basis_is_orthonormal_and_the_same_for_every_correlation() -> None:
    first, second = World(3, 0.0).weights / SCALE
    torch.testing.assert_close(torch.stack([first @ first, first @ second]), torch.eye(2)[0])
    blended = World(3, 0.6).weights / SCALE
    torch.testing.assert_close(blended, torch.stack([first, 0.6 * first + 0.8 * second]))


def test_rows_have_the_moments_of_the_paper() -> None:
    world = World(0, 1.0)
    x, y = world.draw(20_000)
    assert x.shape == (20_000, INPUTS)
    assert x.mean().item() == pytest.approx(0, abs=0.005)
    assert x.var().item() == pytest.approx(1, abs=0.01)
    # Tasks with equal weights differ in noise only.
    difference = y[:, 0] - y[:, 1]
    assert difference.var().item() == pytest.approx(2 * NOISE_VARIANCE, rel=0.05)
    z = x @ world.weights[0]
    waves = sum(torch.sin(a * z + b) for a, b in zip(world.frequencies, world.phases, strict=True))
    assert (y[:, 0] - z - waves).var().item() == pytest.approx(NOISE_VARIANCE, rel=0.05)


def test_labels_are_the_more_correlated_the_more_the_weights_are() -> None:
    for seed in range(3):
        found = [label_correlation(World(seed, p).draw(4000)[1]) for p in (0.0, 0.5, 0.9, 1.0)]
        assert found == sorted(found)
        assert abs(found[0]) < 0.1
        assert found[-1] > 0.9


def test_models_read_the_numbers_that_a_table_of_ones_would_give() -> None:
    table = FieldEmbedding(INPUTS + 1, 1, range(INPUTS))
    torch.nn.init.ones_(table.weight)
    ids, x = torch.arange(1, INPUTS + 1).expand(4, -1), World(0, 0.5).draw(4)[0]
    assert torch.equal(Numbers()(ids, x), table(ids, x))
    assert torch.equal(new_model("MMoE", 0).embed((ids, x)), x)  # type: ignore[operator]


def test_models_are_of_one_size() -> None:
    sizes = {
        name: sum(weights.numel() for weights in new_model(name, 0).parameters()) for name in MODELS
    }
    assert sizes["Shared-Bottom"] == pytest.approx(sizes["MMoE"], rel=0.005)
    assert sizes["PLE"] == pytest.approx(sizes["MMoE"], rel=0.05)


@pytest.mark.parametrize("name", MODELS)
def test_training_together_is_training_alone(name: str) -> None:
    worlds = [World(seed, 0.5) for seed in range(2)]
    both = Together([new_model(name, seed).double() for seed in range(2)], 0.01)
    alone = [Together([new_model(name, seed).double()], 0.01) for seed in range(2)]
    for _ in range(3):
        x, y = (part.double() for part in draw(worlds, 16))
        both.step(x, y)
        for seed, model in enumerate(alone):
            model.step(x[seed : seed + 1], y[seed : seed + 1])
    for key, found in both.parameters.items():
        expected = torch.cat([model.parameters[key] for model in alone])
        torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-12)


def test_the_study_is_reproducible_and_learns() -> None:
    curves = study(0.9, [0, 1], 60)
    pd.testing.assert_frame_equal(curves, study(0.9, [0, 1], 60))
    for _, part in curves.groupby(["model", "seed"]):
        assert part["loss"].iloc[-1] < part["loss"].iloc[0]


def test_geometric_mean_has_the_interval_of_the_logarithms() -> None:
    found = geometric_mean(np.array([1.0, 4.0, 16.0]))
    assert found["mean"] == pytest.approx(4)
    assert found["mean"] / found["low"] == pytest.approx(found["high"] / found["mean"])
    # Student's 97.5 % quantile with 2 degrees of freedom, times log 4 / sqrt 3.
    assert np.log(found["high"] / 4) == pytest.approx(4.302653 * np.log(4) / 3**0.5)


def test_ratios_are_of_the_same_seed() -> None:
    losses = {"Shared-Bottom": (1.0, 100.0), "MMoE": (0.5, 50.0), "PLE": (1.0, 100.0)}
    rows = [
        (0.5, seed, 0.4, name, step, loss if step else 1000.0)
        for name, values in losses.items()
        for seed, loss in enumerate(values)
        for step in (0, 9)
    ]
    columns = ["correlation", "seed", "label_correlation", "model", "step", "loss"]
    table = final_table(pd.DataFrame(rows, columns=columns)).set_index("model")
    assert table.loc["MMoE", "loss_mean"] == pytest.approx(5)
    for part in ("mean", "low", "high"):
        assert table.loc["MMoE", f"ratio_{part}"] == pytest.approx(0.5)
        assert table.loc["Shared-Bottom", f"ratio_{part}"] == 1


def test_a_small_run_writes_everything(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(multitask_synthetic, "TEST_ROWS", 50)
    options = ["--seeds", "2", "--steps", "4", "--output", str(tmp_path)]
    result = CliRunner().invoke(app, options)
    assert result.exit_code == 0, result.output
    written = {path.name for path in tmp_path.iterdir()}
    assert written == {"curves.csv", "curves.png", "final.csv", "summary.md"}
    curves = pd.read_csv(tmp_path / "curves.csv")
    assert set(curves["correlation"]) == set(CORRELATIONS)
    assert (tmp_path / "summary.md").read_text().count("| MMoE |") == len(CORRELATIONS)
