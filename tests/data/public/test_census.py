"""Census income: groups in place of users, no items, no times."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector.common.errors import DataError
from metaselector.config import load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.preparation.encode import encode
from metaselector.data.profile.describe import describe
from metaselector.data.public.census import FILE, SHA256
from metaselector.data.registry import read
from metaselector.data.splitting import make_protocol
from metaselector.runs.stages.prepare import prepare

ROWS = 240
Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Writes a file of 240 persons in 4 groups, and one person of a group of its own."""

    def write(**columns: Any) -> Path:
        generator = np.random.default_rng(0)
        n = ROWS + 1
        frame = pd.DataFrame(
            {
                "age": generator.integers(17, 91, n),
                "workclass": generator.choice(["Private", "?"], n),
                "fnlwgt": generator.integers(10_000, 1_000_000, n),
                "education": [*(["Masters", "HS-grad"] * n)[:ROWS], "Preschool"],
                "educational-num": 9,
                "marital-status": generator.choice(["Never-married", "Divorced", "Widowed"], n),
                "occupation": [*(["Sales", "Sales", "?", "?"] * n)[:ROWS], "Sales"],
                "relationship": generator.choice(["Husband", "Wife"], n),
                "race": "White",
                "gender": generator.choice(["Male", "Female"], n),
                "capital-gain": generator.choice([0, 0, 0, 5000, 99_999], n),
                "capital-loss": 0,
                "hours-per-week": generator.integers(1, 100, n),
                "native-country": generator.choice(["Cuba", "?"], n),
                "income": generator.choice(["<=50K", ">50K"], n),
            }
        ).assign(**columns)
        frame.drop(columns=[name for name in columns if columns[name] is None]).to_parquet(
            tmp_path / FILE, compression="brotli"
        )
        return tmp_path / FILE

    return write


def test_fields_are_of_groups_and_rows(write: Write) -> None:
    dataset = encode(read("census-income", write().parent))
    assert [(field.name, field.of) for field in dataset.schema.fields] == [
        ("user", "user"), ("occupation", "user"), ("education", "user"), ("age", "row"),
        ("workclass", "row"), ("race", "row"), ("gender", "row"), ("native-country", "row"),
        ("capital-gain", "row"), ("capital-loss", "row"), ("hours-per-week", "row"),
    ]  # fmt: skip
    assert dataset.user_names == (
        "Sales / Masters", "Sales / HS-grad", "unknown / Masters", "unknown / HS-grad"
    )  # fmt: skip
    ids = dataset.batch(dataset.user_offsets[:-1]).ids[:, :3]  # each group's first person
    assert [[dataset.schema.word(id_) for id_ in row] for row in ids.tolist()] == [
        ["user=Sales / Masters", "occupation=Sales", "education=Masters"],
        ["user=Sales / HS-grad", "occupation=Sales", "education=HS-grad"],
        ["user=unknown / Masters", "occupation=(unseen)", "education=Masters"],
        ["user=unknown / HS-grad", "occupation=(unseen)", "education=HS-grad"],
    ]
    assert not dataset.history_sizes.any()


def test_labels(write: Write) -> None:
    path = write()
    frame, dataset = pd.read_parquet(path), encode(read("census-income", path))
    assert dataset.schema.tasks == ("income", "never-married")
    assert dataset.schema.task_after is None
    persons = frame.iloc[dataset.source_rows]
    assert np.array_equal(dataset.task_labels[:, 0], persons["income"] == ">50K")
    assert np.array_equal(dataset.task_labels[:, 1], persons["marital-status"] == "Never-married")
    assert len(dataset) == ROWS


def test_nothing_else_says_who_is_married(write: Write) -> None:
    """Neither labels, nor columns that leak them, nor weights change a feature."""
    plain = encode(read("census-income", write()))
    table = read(
        "census-income",
        write(**{"relationship": "Wife", "marital-status": "Widowed", "income": ">50K"}, fnlwgt=1),
    )
    other = encode(table)
    every = np.arange(ROWS)
    for before, after in zip(plain.batch(every), other.batch(every), strict=True):
        assert torch.equal(before, after)


def test_a_group_of_one_is_dropped_and_counted(write: Write) -> None:
    path = write()
    table = read("census-income", path)
    encode(table)
    dropped, *doubts = table.repairs
    assert dropped == f"{path}: 1 user with a single row dropped"
    assert all("is constant in train" in doubt for doubt in doubts)  # in so few rows


@pytest.mark.parametrize("protocol", ["warm", "cold"])
def test_both_protocols(
    write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str], protocol: str
) -> None:
    groups = [f"job {i % 40}" for i in range(ROWS + 1)]
    path = write(occupation=groups, education="Masters")
    config = load_config(
        overrides=[f"protocol={protocol}", "dataset=census-income", "cold.support_sizes=[1,2]"]
    )
    prepare(config, path, tmp_path / "data")
    dataset = EncodedDataset.load(tmp_path / "data")
    made = make_protocol(dataset, config)
    rows = made.fitting_rows("full")
    assert 0 < len(rows) < ROWS + 1
    assert made.fitting_dataset.batch(rows).ids.shape == (len(rows), dataset.schema.num_slots)
    assert made.fitting_dataset.label(rows).shape == (len(rows), 2)
    limits = np.full(len(rows), 3)
    assert torch.equal(dataset.batch(rows, limits).ids, dataset.batch(rows).ids)


def test_a_profile_without_items_and_times(write: Write) -> None:
    found = describe(read("census-income", write()), label_threshold=4)
    assert (found.tabular, found.rows, found.users, found.items) == (True, ROWS + 1, 5, 0)
    assert (found.pairs, found.density, found.repeated_rows) == (0, 0.0, 0)
    assert [task.share_observed for task in found.tasks] == [1, 1]
    assert found.features[-2].missing == 2  # the occupation of two groups
    assert found.warnings[0].startswith("1 of 5 groups have a single row")
    assert not any("1995" in warning for warning in found.warnings)


@pytest.mark.parametrize(
    ("columns", "problem"),
    [
        (
            {"income": [">50K", ">50k"] + [">50K"] * (ROWS - 1)},
            ":2 (column income): unknown class '>50k'",
        ),
        ({"marital-status": None}, "(column marital-status): there is no such column"),
        ({"age": "old"}, ":1 (column age): 'old' is not"),
    ],
)
def test_bad_files(write: Write, columns: dict[str, Any], problem: str) -> None:
    path = write(**columns)
    with pytest.raises(DataError) as error:
        list(read("census-income", path).read())
    assert problem in str(error.value)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"no data set found here; expected {FILE}"):
        read("census-income", tmp_path)


def test_the_real_file(fetched: Callable[[str], Path]) -> None:
    path = fetched("census-income") / FILE
    assert hashlib.sha256(path.read_bytes()).hexdigest() == SHA256
    dataset = encode(replace(read("census-income", path), repairs=[]))
    assert (len(dataset), dataset.num_users) == (48_826, 209)
    assert dataset.task_labels.mean(axis=0) == pytest.approx([0.2392, 0.3300], abs=1e-4)
