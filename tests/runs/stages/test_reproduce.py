"""The main job on the real MovieLens-100K, with the short settings of CI."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import version
from pathlib import Path

import pandas as pd
import pytest
import torch
import yaml
from sklearn.metrics import log_loss, roc_auc_score

from metaselector.cli import main
from metaselector.config import Config, load_config
from metaselector.evaluate.bounds import BOUNDS
from metaselector.evaluate.combiners import COMBINERS, usable_combiners
from metaselector.evaluate.predictions import load_predictions
from metaselector.meta.variants import variants_of
from metaselector.runs.run import Run

ROOT = Path(__file__).parents[3]
SMOKE = ROOT / "benchmarks" / "configs" / "smoke.yaml"
SINGLE = ["lr", "fm", "deepfm"]
MODELS = {
    *SINGLE,
    *usable_combiners(),
    *variants_of(Config().adapt),
    "oracle-sample",
    "oracle-user",
}
COLUMNS = {
    "dataset",
    "protocol",
    "seed",
    "model",
    "auc",
    "logloss",
    "rela_impr",
    "gauc",
    "gap_closed_auc",
    "gap_closed_logloss",
    "gap_closed_headroom",
    "ndcg_10",
    "mrr",
    "n_users",
    "n_test",
}
FIGURES = [
    "comparison",
    "support_curve",
    "heterogeneity",
    "learned_numbers",
    "learned_rates",
    "learning_curves",
    "weights",
]


def command(*arguments: object) -> None:
    """Run the command line in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["metaselector", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
    assert not exited.value.code


def settings() -> list[object]:
    return ["--config", SMOKE, "--set", "evaluate.resamples=2", "--set", "threads=1"]


@pytest.fixture(scope="module")
def raw(fetched: Callable[[str], Path]) -> Path:
    return fetched("movielens-100k")


@pytest.fixture(scope="module")
def run(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    directory = tmp_path_factory.mktemp("reproduce") / "run"
    command("reproduce", "--run", directory, "--data", raw, *settings())
    yield directory
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def results(run: Path) -> pd.DataFrame:
    return pd.read_csv(run / "results.csv")


@pytest.fixture(scope="module")
def logloss(results: pd.DataFrame) -> pd.Series:
    return results.set_index("model")["logloss"]


def test_all_files_are_there(run: Path) -> None:
    expected = ["results.csv", "summary.md", "summary.tex", "config.yaml", "environment.json"]
    expected += ["support_curve.csv", "support_curve_differences.csv"]
    expected += ["predictions.parquet", *(f"figures/{name}.png" for name in FIGURES)]
    for name in expected:
        assert (run / name).stat().st_size > 0


def test_nothing_temporary_is_left(run: Path) -> None:
    assert not [path for path in run.rglob("*") if path.name.startswith(".")]


def test_figures_are_images(run: Path) -> None:
    for name in FIGURES:
        assert (run / "figures" / f"{name}.png").read_bytes().startswith(b"\x89PNG")


def test_results_have_every_model_once(results: pd.DataFrame) -> None:
    assert set(results["model"]) >= MODELS
    assert results["model"].is_unique


def test_results_have_the_columns(results: pd.DataFrame) -> None:
    assert set(results.columns) >= COLUMNS
    bounds = results["model"].isin(BOUNDS)
    assert set(results.loc[bounds, "model"]) == set(BOUNDS)
    assert results[~bounds].notna().all(axis=None)


def test_results_say_what_they_are_of(results: pd.DataFrame) -> None:
    assert set(results["dataset"]) == {"movielens-100k"}
    assert set(results["protocol"]) == {"warm-chronological"}
    assert set(results["seed"]) == {0}
    assert set(results["n_users"]) == {943}


@pytest.mark.parametrize("n", [1, 2, 3, 5, 10, 20, 40])
def test_adapting_does_no_harm(run: Path, n: int) -> None:
    """However few rows a user has: as `model.adapt` works by default."""
    found = pd.read_csv(run / "support_curve_differences.csv").set_index(
        ["model", "baseline", "metric", "n"]
    )["difference"]
    assert found["metaselector", "not-adapted", "logloss", n] < 0.0005


def test_results_are_those_of_the_predictions(run: Path, results: pd.DataFrame) -> None:
    """Recomputed with scikit-learn."""
    predictions = load_predictions(run / "predictions.parquet").groupby("model")
    scored = results[~results["model"].isin(BOUNDS)]
    assert len(predictions) == len(scored)
    for row in scored.itertuples():
        table = predictions.get_group(row.model)
        assert len(table) == row.n_test
        assert table["user"].nunique() == row.n_users
        assert roc_auc_score(table["y"], table["p"]) == pytest.approx(row.auc, abs=1e-12)
        assert log_loss(table["y"], table["p"]) == pytest.approx(row.logloss, abs=1e-12)


def test_predictions_are_of_the_latest_rows_of_the_file(run: Path, raw: Path) -> None:
    """Joined with the raw file, without any code of ours: the last tenth of every user's rows."""
    columns = ["user", "item", "rating", "time"]
    atomic, official = raw / "ml-100k.inter", raw / "ml-100k" / "u.data"
    if atomic.exists():
        file = pd.read_csv(atomic, sep="\t", names=columns, header=0)
    else:
        file = pd.read_csv(official, sep="\t", names=columns)
    predictions = load_predictions(run / "predictions.parquet")
    for _, table in predictions.groupby("model"):
        found = file.iloc[table["row"]]
        assert found["user"].astype(str).tolist() == table["user"].tolist()
        assert ((found["rating"] >= 4).to_numpy() == (table["y"] == 1).to_numpy()).all()
    file["tested"] = file.index.isin(predictions["row"])
    latest_seen = file[~file["tested"]].groupby("user")["time"].max()
    first_tested = file[file["tested"]].groupby("user")["time"].min()
    assert (first_tested >= latest_seen).all()
    count = file.groupby("user").size()
    assert (file.groupby("user")["tested"].sum() == count - count * 9 // 10).all()


def test_no_model_beats_the_sample_level_oracle_on_its_own_metric(logloss: pd.Series) -> None:
    assert logloss.idxmin() == "oracle-sample"


def test_no_choice_of_one_model_a_user_beats_the_user_level_oracle(logloss: pd.Series) -> None:
    """Mixtures, and base models that adapt, may."""
    assert logloss["oracle-user"] < logloss[[*SINGLE, "user-best"]].min()


def test_gap_closed_is_0_for_the_best_single_model_and_1_for_the_oracle(
    results: pd.DataFrame,
) -> None:
    table = results.set_index("model")
    for column in ("gap_closed_auc", "gap_closed_logloss"):
        assert table.loc["oracle-user", column] == pytest.approx(1)
        assert 0 in table.loc[SINGLE, column].to_numpy()


def test_the_settings_are_left_beside_the_results(run: Path) -> None:
    saved = yaml.safe_load((run / "config.yaml").read_text())
    assert saved["meta_train"]["epochs"] == 1
    assert saved["evaluate"]["resamples"] == 2


def test_the_environment_is_left_beside_the_results(run: Path) -> None:
    made_with = json.loads((run / "environment.json").read_text())
    assert made_with["command"].startswith("metaselector reproduce --run ")
    assert made_with["packages"]["torch"] == version("torch")
    assert len(made_with["data_sha256"]) == 64


def test_the_data_are_those_of_the_published_numbers(run: Path, raw: Path) -> None:
    """Numbers made from data that are encoded otherwise would have to be published again."""
    if not (raw / "ml-100k.inter").exists():
        pytest.skip("the published numbers were made from the atomic files")
    published = ROOT / "benchmarks" / "results" / "movielens-100k" / "environment.json"
    found, expected = (
        json.loads(path.read_text())["data_sha256"]
        for path in (run / "environment.json", published)
    )
    assert found == expected


def test_figures_are_the_committed_ones(run: Path, raw: Path, results: pd.DataFrame) -> None:
    """`python -m benchmarks.smoke` made them, and says why the tolerance is what it is."""
    if not (raw / "ml-100k.inter").exists():
        pytest.skip("the committed figures were made from the atomic files")
    committed = json.loads((ROOT / "benchmarks" / "results" / "smoke.json").read_text())
    left_out = COMBINERS.keys() - usable_combiners().keys()  # libraries that are not installed
    found = results[~results["model"].isin(BOUNDS)].set_index("model")
    tolerance = committed["tolerance"]
    assert set(found.index) == committed["rows"].keys() - left_out
    chosen = {"user-finetuned", "user-finetuned-residuals"}  # tests give them fewer choices
    for model, row in found.drop(index=list(chosen)).iterrows():
        for metric, expected in committed["rows"][model].items():
            close = pytest.approx(expected, abs=tolerance.get(model, tolerance["default"]))
            assert row[metric] == close, f"{metric} of {model}"


def test_another_engine_uses_the_same_checkpoints(run: Path) -> None:
    config = load_config(run / "config.yaml")
    switched = load_config(run / "config.yaml", ["adapt.engine=higher"])
    assert Run(run, config).checkpoints.has_learned("metaselector", 0)
    assert Run(run, switched).checkpoints.has_learned("metaselector", 0)
    more_steps = load_config(run / "config.yaml", ["adapt.steps=3"])
    assert not Run(run, more_steps).checkpoints.has_learned("metaselector", 0)


@pytest.fixture(scope="module")
def small(
    write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, list[object]]:
    """A run on a small world, and the options that it was made with."""
    folder = tmp_path_factory.mktemp("small")
    options = ["--data", write_world(folder / "raw"), *settings(), "--set", "adapt.support_size=5"]
    command("reproduce", "--run", folder / "run", *options)
    return folder / "run", options


def test_a_second_run_uses_the_checkpoints_and_gives_the_same_bytes(
    small: tuple[Path, list[object]],
) -> None:
    run, options = small
    checkpoints = sorted(run.rglob("*.safetensors"))
    assert len(checkpoints) == 3 * len(SINGLE) + len(variants_of(Config().adapt))
    before = [path.stat().st_mtime_ns for path in checkpoints]
    results = (run / "results.csv").read_bytes()
    command("reproduce", "--run", run, *options)
    assert [path.stat().st_mtime_ns for path in checkpoints] == before
    assert (run / "results.csv").read_bytes() == results


def test_step_by_step_gives_the_same_results(
    small: tuple[Path, list[object]], tmp_path: Path
) -> None:
    """From scratch, elsewhere; each step finds its settings where the step before left them."""
    (run, options), other = small, tmp_path / "other"
    command("data", "prepare", "--run", other, *options)
    for step in ("pretrain", "meta-train", "evaluate"):
        command(step, "--run", other)
    assert (other / "results.csv").read_bytes() == (run / "results.csv").read_bytes()
    assert {path.name for path in other.iterdir()} == {path.name for path in run.iterdir()}


def test_another_seed_gives_other_results(small: tuple[Path, list[object]], tmp_path: Path) -> None:
    """And a seed that is added later leaves the first one's results as they are."""
    run, options = Path(shutil.copytree(small[0], tmp_path / "run")), small[1]
    alone = pd.read_csv(run / "results.csv")
    command("reproduce", "--run", run, *options, "--seed", 1, "--seed", 0)
    results = pd.read_csv(run / "results.csv")
    of_seed_0 = results[results["seed"] == 0].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_seed_0, alone, check_exact=True)
    fm = results[results["model"] == "fm"]
    assert fm["auc"].nunique() == 2
