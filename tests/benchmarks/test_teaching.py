"""The teaching benchmark on a tiny world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.metrics import accuracy_score, f1_score, recall_score

from benchmarks import teaching
from benchmarks.teaching_metrics import METRICS, of_counts
from benchmarks.teaching_page import in_words
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.windows import window_rows

SETTINGS = """
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
peer_learning: {confidence: 0.5}
meta_train: {epochs: 1}
paper: {epochs: 1}
selector: {epochs: 1}
adapt: {support_size: 3, steps: 1, half_lives: []}
evaluate: {resamples: 20}
"""


pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def made(write_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teaching")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(teaching, "FEW", 30)  # a tenth of 27 rows would leave windows empty
        _make(folder, write_world)
    return folder


def _make(folder: Path, write_world: Callable[[Path], Path]) -> None:
    (folder / "tiny.yaml").write_text(SETTINGS)
    teaching.main(
        run=folder / "runs",
        seeds=2,
        joint_seeds=1,
        config=folder / "tiny.yaml",
        data=write_world(folder / "raw"),
        output=folder / "results",
    )
    torch.set_num_threads(1)


def test_a_line_for_everything(made: Path) -> None:
    table = pd.read_csv(made / "results" / "teaching.csv")
    assert len(table) == len(teaching.LABELS) * 3 * len(teaching.STRATEGIES) * len(METRICS)
    of_base = table[table["model"] != "metaselector"]
    assert set(of_base["seeds"]) == {2}
    assert set(table.loc[table["model"] == "metaselector", "seeds"]) == {1}
    index = ["labels", "model", "strategy", "metric"]
    values = table.set_index(index)["value"]
    for line in table[table["strategy"] != "independent"].itertuples():
        base = values[line.labels, line.model, "independent", line.metric]
        assert line.difference == pytest.approx(line.value - base, abs=1e-12)
        assert line.low <= line.high
    page = (made / "results" / "teaching.md").read_text()
    assert page.count("\n| metaselector | ") == 6
    rounds = pd.read_csv(made / "results" / "rounds.csv")
    kept = rounds.groupby(["labels", "seed", "model"])["kept"].sum()
    assert len(kept) == 2 * 2 * 2
    assert set(kept) == {1}


def test_few_rows_are_few_and_leave_the_test(made: Path) -> None:
    whole, few = (
        EncodedDataset.load(made / "runs" / f"{labels}-mutual" / "data")
        for labels in ("all", "few")
    )
    assert set(whole.user_names) == set(few.user_names)

    def moments(dataset: EncodedDataset, rows: np.ndarray) -> set[tuple[str, int]]:
        users = [dataset.user_names[user] for user in dataset.users[rows]]
        return set(zip(users, dataset.timestamps[rows].tolist(), strict=True))

    late = moments(whole, window_rows(whole.user_offsets, 90, 100))
    ends = few.schema.windows
    assert moments(few, window_rows(few.user_offsets, ends[-1], 100)) == late
    assert not late & moments(few, window_rows(few.user_offsets, 0, ends[-1]))
    assert len(few) == len(late) + 8 * whole.num_users


def test_counts_are_the_metrics() -> None:
    generator = np.random.default_rng(0)
    n = 200
    table = pd.DataFrame(
        {
            "seed": 0,
            "model": "a",
            "user": generator.integers(9, size=n).astype(str),
            "y": generator.integers(2, size=n).astype(np.float32),
            "p": generator.random(n),
        }
    )
    found = of_counts(table, 50)
    y, p = table["y"], table["p"] >= 0.5
    for name, function in (
        ("accuracy", accuracy_score),
        ("recall", recall_score),
        ("f1", f1_score),
    ):
        values = found[name][0, "a"]
        assert values[0] == pytest.approx(function(y, p), abs=1e-12)
        assert len(values) == 51
        assert values[1:].std() > 0


def test_words_say_what_does_not_help() -> None:
    lines = [
        {"strategy": "mutual", "model": model, "metric": metric, "low": low, "high": high}
        for model, low, high in (("a", 0.1, 0.2), ("b", -0.1, 0.1))
        for metric in METRICS
    ]
    assert in_words(pd.DataFrame(lines)) == (
        "**mutual**: AUC better: a; logloss worse: a; accuracy better: a; recall better: a; "
        "F1 better: a."
    )
