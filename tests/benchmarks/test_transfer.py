"""The transfer benchmark on a tiny world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from benchmarks import transfer
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.splitting.windows import user_places

SETTINGS = """
base_models: {lr: {pretrain: {epochs: 1}}, fm: {pretrain: {epochs: 1}}}
evaluate: {resamples: 20}
"""


@pytest.fixture(scope="module")
def made(write_world: Callable[[Path], Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("transfer")
    (folder / "tiny.yaml").write_text(SETTINGS)
    transfer.main(
        run=folder / "runs",
        seeds=1,
        config=folder / "tiny.yaml",
        data=write_world(folder / "raw"),
        output=folder / "results",
    )
    torch.set_num_threads(1)
    return folder


def test_a_line_for_every_kind_and_metric(made: Path) -> None:
    table = pd.read_csv(made / "results" / "transfer.csv")
    table = table[table["model"] == "lr"].set_index(["kind", "metric"])
    kinds = (*transfer.KINDS, transfer.UNTRAINED)
    assert set(table.index) == {(kind, m) for kind in kinds for m in transfer.COMPARED}
    base = table.loc[(transfer.SCRATCH, "logloss")]
    other = table.loc[("transferred", "logloss")]
    assert pd.isna(base["difference"])
    assert other["difference"] == pytest.approx(other["value"] - base["value"])
    assert other["low"] <= other["high"]
    page = (made / "results" / "transfer.md").read_text()
    assert page.count("\n| lr | ") == len(kinds)
    assert (made / "results" / "environment.json").exists()


def test_no_user_is_in_source_and_target(made: Path) -> None:
    runs = {path.name: EncodedDataset.load(path / "data") for path in (made / "runs").iterdir()}
    source = set(runs.pop("source").user_names)
    assert len(runs) == len(transfer.KINDS)
    for dataset in runs.values():
        target = set(dataset.user_names)
        assert not source & target
        assert len(source | target) == 40
        assert (user_places(sorted(target), 0) >= transfer.TARGET_FROM).all()
