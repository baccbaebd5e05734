"""A run on MovieLens-1M says in its tables which copy it used."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks.synthetic_movielens import write_movielens_1m
from metaselector.common.progress import Silent
from metaselector.config import load_config
from metaselector.data.encoded.digests import write_digests
from metaselector.data.public import movielens_copies
from metaselector.data.public.movielens_copies import blob_id
from metaselector.runs.run import Run
from metaselector.runs.stages.reproduce import evaluate_and_report, reproduce

SETTINGS = """
dataset: movielens-1m
threads: 1
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
selector: {hidden_size: 4}
adapt: {support_size: 5}
meta_train: {epochs: 1}
evaluate: {resamples: 2}
"""


def test_the_copy_is_named_in_title_and_caption(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    raw = tmp_path / "ml-1m"
    write_movielens_1m(raw, users=30, movies=200, rated=180, ratings=2_000)
    (tmp_path / "settings.yaml").write_text(SETTINGS)
    monkeypatch.setattr(movielens_copies, "RECONSTRUCTED", blob_id(raw / "ratings.dat"))
    run = Run(tmp_path / "run", load_config(tmp_path / "settings.yaml"))
    reproduce(run, raw, tmp_path, Silent())

    title = "MovieLens-1M (reconstructed order)"
    assert f"note: {title}: Ratings and the order of each user's" in capsys.readouterr().err
    assert (run.directory / "summary.md").read_text().startswith(f"## {title}, warm-chrono")
    assert rf"\caption{{{title}, warm-chrono" in (run.directory / "summary.tex").read_text()
    assert set(pd.read_csv(run.directory / "results.csv")["dataset"]) == {"movielens-1m"}
    made_with = json.loads((run.directory / "environment.json").read_text())
    assert made_with["data_title"] == title

    (run.data_directory / "origin.json").unlink()  # as official files have none
    digests = json.loads((run.data_directory / "sha256.json").read_text())["files"]
    del digests["origin.json"]
    write_digests(run.data_directory, digests)
    official = Run(run.directory, run.config)
    evaluate_and_report(official, Silent())
    assert (run.directory / "summary.md").read_text().startswith("## movielens-1m, warm-chrono")
    assert "data_title" not in json.loads((run.directory / "environment.json").read_text())
