"""Scores of another system in place of a base model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from base_models import LR
from metaselector.common.errors import ConfigError, DataError
from metaselector.common.progress import Silent
from metaselector.config import BaseModelConfig, Config, ScoresConfig, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import load_rows, window_episodes
from metaselector.data.splitting.protocol import WINDOWS
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.variants import make_adaptation
from metaselector.models.build import build_mixture
from metaselector.models.precomputed import Scored, scores_column, with_scores
from metaselector.models.score_files import read_scores, scores_digest
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import reproduce

WriteWorld = Callable[..., Path]


@pytest.fixture(scope="module")
def dataset() -> EncodedDataset:
    """Its rows stand in the file in another order than in the data set."""
    world = planted_world(2, 10, 4, np.random.default_rng(0)).dataset
    return replace(world, source_rows=np.random.default_rng(1).permutation(len(world)))


@pytest.fixture
def table(dataset: EncodedDataset) -> pd.DataFrame:
    """In the order of the file."""
    n = len(dataset)
    users = np.asarray(dataset.user_names)[dataset.users][dataset.source_rows.argsort()]
    return pd.DataFrame({"row": np.arange(n), "user": users, "score": (np.arange(n) + 0.5) / n})


def written(table: pd.DataFrame, path: Path) -> ScoresConfig:
    if path.suffix == ".parquet":
        table.to_parquet(path)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return ScoresConfig(file=str(path))


def read(dataset: EncodedDataset, settings: ScoresConfig) -> np.ndarray:
    return read_scores(dataset, settings, Path(settings.file))


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".parquet"])
def test_scores_are_found_by_row(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path, suffix: str
) -> None:
    shuffled = table.sample(frac=1, random_state=0)
    logits = read(dataset, written(shuffled, tmp_path / f"scores{suffix}"))
    p = (dataset.source_rows + 0.5) / len(dataset)
    np.testing.assert_allclose(1 / (1 + np.exp(-logits)), p, rtol=1e-5)


def test_logits_stay_as_they_are(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = written(table.assign(score=table["row"] - 7.5), tmp_path / "scores.csv")
    logits = read(dataset, settings.model_copy(update={"kind": "logit"}))
    assert logits.tolist() == (dataset.source_rows - 7.5).tolist()


def test_certain_probabilities_are_finite(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = written(table.assign(score=table["row"] % 2), tmp_path / "scores.csv")
    assert np.isfinite(read(dataset, settings)).all()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda t: t.drop(columns="row"), "no column 'row'"),
        (lambda t: t.rename(columns={"score": "scor"}), "no column 'score'; did you mean 'scor'"),
        (lambda t: t.assign(score="high"), r"\(column score\): has values that are not numbers"),
        (lambda t: pd.concat([t, t[3:4]]), r"\(column row\): row 3 occurs twice"),
        (lambda t: t[t["row"] != 3], r"\(column score\): 1 of 40 rows have no finite score.*row 3"),
        (lambda t: t.assign(score=np.nan), "40 of 40 rows have no finite score"),
        (lambda t: t.assign(score=t["score"] * 2), r"scores from 0\.025 to 1\.975.*kind to logit"),
        (lambda t: t.assign(user=t["user"] + "x"), r"\(column user\): row \d+ belongs to user"),
    ],
)
def test_what_is_wrong_with_a_file(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path, change: Any, problem: str
) -> None:
    settings = written(change(table), tmp_path / "scores.csv")
    with pytest.raises(DataError, match=rf"scores\.csv.*{problem}"):
        read(dataset, settings)


@pytest.mark.parametrize("content", [None, b"", b"PAR1 no"])
def test_a_file_that_cannot_be_read(
    dataset: EncodedDataset, tmp_path: Path, content: bytes | None
) -> None:
    path = tmp_path / ("scores.parquet" if content else "scores.csv")
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(DataError, match="cannot be read"):
        read(dataset, ScoresConfig(file=str(path)))


def test_data_that_scores_do_not_fit(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = written(table, tmp_path / "scores.csv")
    models = {"theirs": BaseModelConfig(scores=settings)}
    several = dataset.schema.model_copy(update={"tasks": ("a", "b")})
    with pytest.raises(ConfigError, match=r"base_models\.theirs\.scores: works with a single task"):
        with_scores(replace(dataset, schema=several), models)
    sampled = replace(dataset, source_rows=dataset.source_rows // 2)
    with pytest.raises(ConfigError, match="negatives were sampled"):
        with_scores(sampled, models)
    assert with_scores(dataset, {"lr": BaseModelConfig()}) is dataset


def test_scores_or_a_model() -> None:
    with pytest.raises(ConfigError, match="scores replace the model"):
        load_config(overrides=["base_models.a={model: lr, scores: {file: x}}"])
    with pytest.raises(ConfigError, match=r"a\.scores\.fil: unknown setting; did you mean 'file'"):
        load_config(overrides=["base_models.a={scores: {file: x, fil: y}}"])


def test_only_scored_models_see_scores(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    settings = written(table, tmp_path / "scores.csv")
    schema, rows = dataset.schema, np.arange(6).reshape(2, 3)
    scored = with_scores(dataset, {"theirs": BaseModelConfig(scores=settings)})
    lr = LR(schema.num_ids, schema.slot_fields)
    torch.nn.init.normal_(lr.linear.weight, generator=torch.Generator().manual_seed(0))
    config = Config(
        base_models={"lr": BaseModelConfig(), "theirs": BaseModelConfig(scores=settings)}
    )
    mixture = build_mixture(
        {"lr": lr, "theirs": Scored(schema.num_slots)}, scored.schema, config, 0
    )
    output = mixture(load_rows(scored, rows).batch)
    p = torch.from_numpy((dataset.source_rows[rows] + 0.5) / len(dataset)).float()
    torch.testing.assert_close(output.base_probabilities[..., 1], p)
    alone = torch.sigmoid(lr(dataset.batch(rows)))
    assert torch.equal(output.base_probabilities[..., 0], alone)


def test_where_all_are_scores_there_is_nothing_to_finetune(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    """And joint MetaSelector adapts what simplified does."""
    settings = written(table, tmp_path / "scores.csv")
    config = Config(base_models={"theirs": BaseModelConfig(scores=settings)})
    scored = with_scores(dataset, config.base_models)
    mixture = build_mixture({"theirs": Scored(dataset.schema.num_slots)}, scored.schema, config, 0)
    made = {
        variant: make_adaptation(variant, mixture, config)
        for variant in ("user-finetuned", "metaselector-simplified", "metaselector")
    }
    assert made["user-finetuned"].steps == 0
    assert made["metaselector"].names == made["metaselector-simplified"].names
    episodes = window_episodes(dataset, (90, 100), 5)
    model = AdaptedModel.of_settings(
        mixture, {}, made["user-finetuned"], scored.schema.tasks, config.adapt
    )
    found = model.predict(scored, episodes)
    p = (dataset.source_rows[found.rows] + 0.5) / len(dataset)
    assert found.probabilities == pytest.approx(p, abs=1e-6)


def test_every_window_may_have_a_file(
    dataset: EncodedDataset, table: pd.DataFrame, tmp_path: Path
) -> None:
    for k, window in enumerate(WINDOWS):
        written(table.assign(score=k), tmp_path / f"scores-{window}.csv")
    own = ScoresConfig(file=str(tmp_path / "scores-{window}.csv"), kind="logit")
    shared = written(table.assign(score=7), tmp_path / "scores.csv")
    models = {
        "shared": BaseModelConfig(scores=shared.model_copy(update={"kind": "logit"})),
        "lr": BaseModelConfig(),
        "own": BaseModelConfig(scores=own),
    }
    scores = with_scores(dataset, models).scores
    assert scores is not None
    found = {
        (n, w): scores[:, scores_column(models, (0,), n, w, 0)]
        for n in ("shared", "own")
        for w in WINDOWS
    }
    for k, window in enumerate(WINDOWS):
        assert (found["shared", window] == 7).all()
        assert (found["own", window] == k).all()
    before = scores_digest(own)
    written(table.assign(score=5), tmp_path / "scores-full.csv")
    assert scores_digest(own) != before


def test_a_run_beside_a_system_that_knows_better(write_world: WriteWorld, tmp_path: Path) -> None:
    """Scores that know the labels win the table, and selectors learn to follow them."""
    raw = write_world(tmp_path / "raw")
    ratings = pd.read_csv(raw / "ml-100k.inter", sep="\t")
    knows = np.where(ratings["rating:float"] >= 4, 0.9, 0.1)
    scores = pd.DataFrame({"row": np.arange(len(ratings)), "user": ratings["user_id:token"]})
    settings = written(scores.assign(score=knows), tmp_path / "scores.csv")
    brier = tmp_path / "brier.py"
    brier.write_text("def brier(y, p, users):\n    return ((y - p) ** 2).mean()\n")
    config = load_config(
        overrides=[f"base_models.theirs={{scores: {{file: {settings.file}}}}}"],
        changes={
            "base_models": {"lr": {"pretrain": {"epochs": 1}}},
            "adapt": {"support_size": 5},
            "meta_train": {"epochs": 1},
            "evaluate": {"resamples": 2, "metrics": [f"{brier}:brier"]},
            "threads": 1,
        },
    )
    kept = {name: config.base_models[name] for name in ("lr", "theirs")}
    run = Run(tmp_path / "run", config.model_copy(update={"base_models": kept}))
    reproduce(run, raw, tmp_path / "data", Silent())
    results = pd.read_csv(run.directory / "results.csv").set_index("model")
    assert results.loc["theirs", "auc"] == 1
    assert results.loc["theirs", "logloss"] == pytest.approx(-np.log(0.9), abs=1e-6)
    assert results.loc["theirs", "brier"] == pytest.approx(0.01, abs=1e-6)
    assert results.loc["metaselector", "logloss"] < results.loc["uniform", "logloss"]
    predicted = load_predictions(run.directory / "predictions.parquet")
    theirs = predicted[predicted["model"] == "theirs"]
    np.testing.assert_allclose(theirs["p"], knows[theirs["row"]], rtol=1e-5)
    names = {path.name for path in (run.directory / "checkpoints" / "seed-0").iterdir()}
    assert not [name for name in names if "theirs" in name]

    Path(settings.file).write_text(Path(settings.file).read_text() + "\n")
    again = Run(run.directory, run.config)
    assert again.checkpoints.has_base("lr", "full", 0)
    assert not again.checkpoints.has_learned("metaselector", 0)
