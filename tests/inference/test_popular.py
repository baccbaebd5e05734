"""Candidates for users who name none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.config import load_config
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.raw_rows import RawRows
from metaselector.inference.popular import popular_items
from metaselector.runs.run import Run
from metaselector.runs.stages.prepare import prepare_run

SCHEMA = """
version: 1
interactions: log.csv
user: who
item: what
time: {column: at, unit: iso}
labels: {liked: {column: liked}}
features: {device: {}, price: {kind: numeric}}
"""
LOG = """who,what,at,liked,device,price
ann,a,2024-01-01,1,phone,1.5
ann,b,2024-01-03,0,desk,2.5
bob,a,2024-01-02,1,tv,1.5
bob,c,2024-01-01,0,phone,3.5
cid,c,2024-01-02,1,phone,3.5
cid,a,2024-01-01,0,desk,1.5
"""


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> FittedEncoder:
    folder = tmp_path_factory.mktemp("popular")
    (folder / "shop.yaml").write_text(SCHEMA)
    rows = [
        f"u{u},{'abcd'[r % 4]},2024-01-{r + 1:02},{(u + r) % 2},phone,1"
        for u in range(9)
        for r in range(20)
    ]
    (folder / "log.csv").write_text("\n".join(["who,what,at,liked,device,price", *rows]) + "\n")
    run = Run(folder / "run", load_config(changes={"dataset": str(folder / "shop.yaml")}))
    prepare_run(run, folder / "log.csv", folder)
    return FittedEncoder.load(run.data_directory)


def history(encoder: FittedEncoder, text: str = LOG) -> RawRows:
    lines = [line.split(",") for line in text.splitlines()]
    return RawRows.of_frame(encoder, pd.DataFrame(lines[1:], columns=lines[0]), Path("history"))


def candidates(found: RawRows) -> pd.DataFrame:
    (block,) = found.blocks
    return pd.DataFrame({name: values.to_pylist() for name, values in block.columns.items()})


def test_the_most_frequent_items_that_a_user_has_not_met(encoder: FittedEncoder) -> None:
    found = candidates(popular_items(encoder, history(encoder), 10))
    assert found[["who", "what"]].to_numpy().tolist() == [["ann", "c"], ["bob", "b"], ["cid", "b"]]
    assert (found["at"] == "2024-01-03").all()  # the last time of the history
    assert found["price"].astype(float).tolist() == [
        3.5,
        2.5,
        2.5,
    ]  # the item's, as it never changes
    assert found["device"].tolist() == ["desk", "tv", "phone"]  # that of the user's last row
    assert "liked" not in found


def test_as_many_as_wanted(encoder: FittedEncoder) -> None:
    more = LOG + "dan,a,2024-01-01,1,phone,1.5\n"
    found = candidates(popular_items(encoder, history(encoder, more), 1))
    assert found["who"].tolist() == ["ann", "bob", "cid", "dan"]
    assert found["what"].tolist() == ["c", "b", "b", "c"]  # c has more rows than b


@pytest.mark.parametrize("seed", range(3))
def test_like_a_plain_loop(encoder: FittedEncoder, seed: int) -> None:
    draw = np.random.default_rng(seed)
    rows = [
        (f"u{draw.integers(6)}", f"i{draw.integers(9)}", f"2024-01-{day:02}")
        for day in range(1, 29)
    ]
    lines = [f"{who},{what},{at},1,phone,1" for who, what, at in rows]
    given = history(encoder, "\n".join([LOG.splitlines()[0], *lines]))
    found = candidates(popular_items(encoder, given, 4))
    count = pd.Series([what for _, what, _ in rows]).value_counts()
    for who in {who for who, _, _ in rows}:
        met = {what for user, what, _ in rows if user == who}
        mine = found.loc[found["who"] == who, "what"].tolist()
        assert len(mine) == len(set(mine)) == min(4, len(count) - len(met))
        assert not met & set(mine)
        left = count.drop(list(met)).drop(mine)
        assert not len(left) or not mine or count[mine].min() >= left.max()


@pytest.mark.parametrize("rows", [1, 2, 5])
@pytest.mark.parametrize("wanted", [1, 10])
def test_users_may_come_in_groups_and_rows_in_blocks(
    encoder: FittedEncoder, rows: int, wanted: int
) -> None:
    whole = history(encoder)
    blocks = tuple(
        block
        for start in range(0, len(whole), rows)
        for block in whole.select((np.arange(len(whole)) // rows) == start // rows).blocks
    )
    given = replace(whole, blocks=blocks)
    users = np.array([line.split(",")[0] for line in LOG.splitlines()[1:]])
    groups = [given.select(users == "ann"), given.select(users != "ann")]
    found = popular_items(encoder, given, wanted, groups)
    assert [block.lines.tolist() for block in found.blocks] == [[1], [2, 3]]
    cells = [
        pd.DataFrame({name: values.to_pylist() for name, values in block.columns.items()})
        for block in found.blocks
    ]
    expected = candidates(popular_items(encoder, whole, wanted))
    pd.testing.assert_frame_equal(pd.concat(cells, ignore_index=True), expected)


def test_a_history_without_rows(encoder: FittedEncoder) -> None:
    with pytest.raises(DataError, match="has no rows; pass --candidates"):
        popular_items(encoder, history(encoder).without_rows(), 1)
