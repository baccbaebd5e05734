"""The schema of trivago's hotel searches on a part of the challenge's real log."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode
from metaselector.data.preparation.parts import Settings
from metaselector.data.splitting.windows import Windows, boundaries

SCHEMA = Path(__file__).parents[3] / "benchmarks" / "schemas" / "trivago.yaml"


def test_lists_of_the_real_log(real_data: Path) -> None:
    table = read_log(SCHEMA, real_data / "trivago-val-100k.parquet")
    windows = Windows(40, 60, 80)
    dataset = encode(table, Settings(windows=windows, min_user_lists=10, min_count=3))
    said = "; ".join(table.repairs)
    assert "1 list was dropped, as column 'reference' has nothing that was shown" in said
    assert "1,052 rows repeat the user, item and time of an earlier row" in said
    offsets = dataset.list_offsets
    assert offsets is not None
    sizes = np.diff(offsets)
    assert (sizes.min(), sizes.max()) == (2, 25)
    assert (np.add.reduceat(dataset.labels, offsets[:-1]) == 1).all()  # one click per list
    lists_of_user = np.diff(np.searchsorted(offsets, dataset.user_offsets))
    assert lists_of_user.min() >= 10
    assert lists_of_user.sum() == len(sizes)
    for percent in (*windows, 100):
        ends = boundaries(dataset.user_offsets, percent, None, offsets)
        assert np.isin(ends, offsets).all()
    position = next(field for field in dataset.schema.fields if field.name == "position")
    assert position.vocabulary == tuple(map(str, range(1, 26)))
