"""Cross-fitted base models on a tiny world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import pytest
import torch

from benchmarks import cross_fit
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.splitting.protocol import Window
from metaselector.data.splitting.windows import window_rows
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.meta.variants import LEARNED, Variant
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run
from metaselector.runs.stages.train import pretrain_base_models

QUICK = (
    "meta_train.epochs=2",
    "selector.epochs=2",
    "paper.epochs=2",
    "adapt.support_size=5",
    "adapt.support_sizes=[]",
    "adapt.residuals.enabled=false",
    "meta_train.support_boundary=start",
    "meta_train.query_size=100",
    "meta_train.outer_lr_theta=0.0001",
    "meta_train.outer_lr_phi=0.0005",
    "meta_train.keep_sign=false",
    "meta_train.averaging=0",
    "meta_train.users_per_batch=7",
    "threads=1",
)


@pytest.fixture(scope="module")
def run(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Run:
    folder = tmp_path_factory.mktemp("cross-fit")
    short = {"pretrain": {"epochs": 1}}
    config = load_config(overrides=QUICK, changes={"base_models": {"lr": short, "fm": short}})
    run = Run(folder / "run", config)
    prepare_run(run, write_world(folder / "raw"), folder)
    pretrain_base_models(run, Silent())
    cross_fit.pretrain_folds(run, 0, Silent())
    return run


def train(run: Run, variant: Variant, start_from: MetaParameters | None = None) -> MetaParameters:
    return cross_fit.meta_train(
        variant, run, 0, start_from=start_from, description="", progress=Silent()
    )


def test_folds_give_all_of_train_but_its_first_block(run: Run) -> None:
    folds = cross_fit.folds_of(run.config.split)
    assert [fold[1:] for fold in folds] == [(20, 40), (40, 60), (60, 80)]
    queries = []
    for fold in folds:
        episodes = cross_fit._episodes(run, fold, np.arange(run.dataset.num_users))
        query, support = episodes.flat("query")[0], episodes.flat("support")[0]
        fitted = cross_fit.fitting_rows(run, fold)
        assert not set(query) & set(fitted)
        assert set(support) <= set(fitted)
        assert (episodes.support.max(axis=1) < episodes.query[:, 0]).all()
        queries.append(query)
    expected = window_rows(run.dataset.user_offsets, 20, 80)
    np.testing.assert_array_equal(np.sort(np.concatenate(queries)), expected)


def test_the_last_fold_is_the_early_base_models(run: Run) -> None:
    """Trained again under another name, they are bit-equal."""
    last = cross_fit.folds_of(run.config.split)[-1]
    assert last.base_models == "early"
    np.testing.assert_array_equal(
        cross_fit.fitting_rows(run, last), run.protocol.fitting_rows("early")
    )
    other = run.checkpoints.load_base("fm", cast(Window, "without-20-40"), 0).state_dict()
    early = run.checkpoints.load_base("fm", "early", 0).state_dict()
    assert not all(torch.equal(p, other[name]) for name, p in early.items())


@pytest.mark.parametrize("variant", LEARNED)
def test_with_the_last_fold_alone_it_is_plain_meta_training(
    run: Run, variant: Variant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """phi, the shift, alpha and the losses, bit by bit."""
    last = cross_fit.folds_of(run.config.split)[-1:]
    monkeypatch.setattr(cross_fit, "folds_of", lambda _: last)
    found = train(run, variant)
    expected = meta_train(
        variant,
        run.dataset,
        run.checkpoints.load_mixture("early", 0),
        run.checkpoints.load_mixture("train", 0),
        run.config,
        np.random.default_rng(0),
        description="",
        progress=Silent(),
    )
    for part in ("phi", "theta_delta", "alpha"):
        tensors, wanted = getattr(found, part), getattr(expected, part)
        assert tensors.keys() == wanted.keys()
        assert all(torch.equal(tensor, wanted[name]) for name, tensor in tensors.items())
    for epoch, known in zip(found.history, expected.history, strict=True):
        assert epoch == {name: known[name] for name in epoch}


def test_the_shift_goes_from_fold_to_fold(run: Run) -> None:
    first, second = (
        run.checkpoints.load_mixture(fold.base_models, 0)
        for fold in cross_fit.folds_of(run.config.split)[:2]
    )
    before, after = cross_fit._theta(first), cross_fit._theta(second)
    cross_fit._change_base(first, before, after)
    assert all(torch.equal(p, after[name]) for name, p in cross_fit._theta(first).items())
    name = "base_models.lr.linear.weight"
    with torch.no_grad():
        first.get_parameter(name).add_(0.25)
    cross_fit._change_base(first, after, before)
    torch.testing.assert_close(first.get_parameter(name).detach(), before[name] + 0.25)


def test_frozen_base_models_have_no_shift_and_joint_ones_do(run: Run) -> None:
    start = train(run, "sample-selector")
    assert not start.theta_delta
    assert not train(run, "metaselector-simplified", start).theta_delta
    joint = train(run, "metaselector", start)
    assert (
        joint.theta_delta.keys()
        == cross_fit._theta(run.checkpoints.load_mixture("early", 0)).keys()
    )
    if joint.best_epoch:
        assert any(shift.abs().max() > 0 for shift in joint.theta_delta.values())
