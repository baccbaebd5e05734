"""The preparation benchmark at a tiny size."""

from __future__ import annotations

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from benchmarks import fuxictr_peer, measure, prepare_speed, prepared_reading
from benchmarks.fuxictr_peer import UNKNOWN
from benchmarks.synthetic_movielens import write_movielens_1m
from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema
from metaselector.data.planted import planted_world

ROWS = 3_000


def dataset() -> EncodedDataset:
    """Two rows with one word, up to two words, and a profile; the second row's word is unknown."""
    fields = (
        Field(name="liked", kind="profile", of="history", slots=1, first_id=1, vocabulary=("War",)),
        Field(name="device", kind="categorical", slots=1, first_id=3, vocabulary=("pc", "tv")),
        Field(name="genres", kind="multivalued", slots=2, first_id=6, vocabulary=("Crime", "War")),
    )
    rows = EncodedDataset.of_rows(
        Schema(
            dataset="tiny",
            label_threshold=1.0,
            history_length=0,
            windows=(60, 80, 90),
            fields=fields,
        ),
        cells=np.array([[5, 8, 7], [3, 7, 0]], dtype=np.int32),
        labels=np.array([1, 0], dtype=np.float32),
        user_offsets=np.array([0, 2]),
        user_names=("u",),
    )
    return replace(rows, profiles=np.ones((1, 1), dtype=np.float32))


def test_cost_is_the_commands_own() -> None:
    """The memory of this process, larger than the command's, does not count."""
    found = measure.cost(
        [sys.executable, "-S", "-c", "import time; x = b'1' * 10**8; time.sleep(1)"]
    )
    assert 1 < found.seconds < 30
    assert 100 < found.peak_mb < 150


def test_cost_of_a_failure_is_what_it_said() -> None:
    with pytest.raises(UserError, match=r"failed: no luck"):
        measure.cost([sys.executable, "-S", "-c", "import sys; sys.exit('no luck')"])


def test_prepared_data_is_read(tmp_path: Path) -> None:
    world = planted_world(40, 45, 8, np.random.default_rng(0)).dataset
    world.save(tmp_path / "data")

    opened = prepared_reading.opening(tmp_path / "data")
    assert opened["rows"] == len(world)
    assert opened["open"] > 0 < opened["first_batch"]

    read = prepared_reading.epoch(tmp_path / "data", users=16)
    assert len(read["users_per_second"]) == len(read["anonymous_mb"]) == 80 // 16
    assert min(read["users_per_second"]) > 0
    assert len(prepared_reading.epoch(tmp_path / "data")["users_per_second"]) == 1  # all at once


def test_reading_is_a_process_of_its_own(tmp_path: Path) -> None:
    world = planted_world(4, 45, 8, np.random.default_rng(0)).dataset
    world.save(tmp_path / "data")
    assert prepare_speed.read("open", tmp_path / "data")["rows"] == len(world)
    assert prepare_speed.read("epoch", tmp_path / "data").keys() == {
        "users_per_second",
        "anonymous_mb",
    }


def test_figures_take_medians_peaks_and_the_worse_format() -> None:
    found = prepare_speed.figures(
        {
            "ml1m": {"seconds": [9.0, 5.0, 6.0], "peak_mb": [800.0, 900.0, 700.0], "size_mb": 50.0},
            "rows": 1_000,
            "csv": {"seconds": [10.0], "peak_mb": [300.0], "size_mb": 7.0},
            "parquet": {"seconds": [5.0], "peak_mb": [400.0], "size_mb": 8.0},
            "verify": [0.9, 0.8, 0.7],
            "open": [0.3, 0.1, 0.2],
            "first_batch": [0.03, 0.01, 0.02],
            "epoch": {"users_per_second": [10.0, 30.0, 20.0], "anonymous_mb": [90.0, 95.0, 96.5]},
            "ml100k_seconds": {"ours": [2.0], "fuxictr": [8.0], "fuxictr without ray": [5.0]},
        }
    )
    assert found == {
        "ml1m_seconds": 6.0,
        "ml1m_peak_mb": 900.0,
        "ml1m_size_mb": 50.0,
        "rows_per_second_20m": 100.0,
        "rows_per_second_20m_csv": 100.0,
        "rows_per_second_20m_parquet": 200.0,
        "peak_mb_20m": 400.0,
        "peak_mb_20m_csv": 300.0,
        "peak_mb_20m_parquet": 400.0,
        "size_mb_20m": 8.0,
        "verify_seconds_20m": 0.8,
        "open_seconds_20m": 0.2,
        "first_batch_seconds_20m": 0.02,
        "episode_users_per_second": 20.0,
        "episode_memory_growth_mb": 1.5,
        "over_fuxictr": 4.0,
        "over_fuxictr_without_ray": 2.5,
    }


def test_recorded_commands_name_no_folder_of_this_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work, json_path = tmp_path / "my work", "results/prepare.json"
    monkeypatch.setattr(sys, "argv", ["prepare", "--work", str(work), "--json", json_path])
    measure.save(tmp_path / "found.json", {"seconds": 1.5})
    found = json.loads((tmp_path / "found.json").read_text(encoding="utf-8"))
    assert found["command"] == "prepare --work 'my work' --json results/prepare.json"
    assert found["seconds"] == 1.5


def test_what_was_not_measured_is_none() -> None:
    assert prepare_speed.figures({}) == dict.fromkeys(prepare_speed.TARGETS)


def test_memory_counts_from_the_fiftieth_batch() -> None:
    assert prepare_speed.growth([*range(100)]) == 49
    assert prepare_speed.growth([None, None]) is None


def test_parts_are_chosen() -> None:
    assert prepare_speed.chosen("20m,ml1m") == ("20m", "ml1m")
    with pytest.raises(UserError, match="unknown part '10m'; choose from ml1m, 20m"):
        prepare_speed.chosen("ml1m,10m")


def test_movielens_1m_goes_through(tmp_path: Path) -> None:
    write_movielens_1m(tmp_path / "ml-1m", users=30, movies=200, rated=180, ratings=2_000)
    found = prepare_speed.figures(prepare_speed.measure_ml1m(None, tmp_path, 1))
    for name in ("ml1m_seconds", "ml1m_peak_mb", "ml1m_size_mb"):
        assert found[name]


@pytest.mark.slow
def test_log_goes_through(tmp_path: Path) -> None:
    raw = prepare_speed.measure_log(("20m", "episodes"), tmp_path, ROWS, 1)
    found = prepare_speed.figures(raw)
    wanted = prepare_speed.TARGETS.keys() - {"over_fuxictr", "episode_memory_growth_mb"}
    assert all(found[name] for name in wanted if not name.startswith("ml1m"))
    json.dumps(raw)


def test_flat_table_holds_the_words(tmp_path: Path) -> None:
    fuxictr_peer.write_flat(dataset(), tmp_path / "flat.csv")
    with (tmp_path / "flat.csv").open(encoding="utf-8", newline="") as file:
        assert [*csv.reader(file)] == [
            ["device", "genres", "label"],
            ["tv", "War^Crime", "1"],
            [UNKNOWN, "Crime", "0"],
        ]


@pytest.mark.filterwarnings("ignore")
def test_both_ways_of_fuxictr_write_the_same(tmp_path: Path) -> None:
    pytest.importorskip("fuxictr")
    import polars

    tasks = fuxictr_peer.tasks(dataset(), tmp_path)
    with fuxictr_peer.started_ray():
        for task in tasks.values():
            task()
    found = [
        polars.read_parquet(tmp_path / way / "train.parquet").select("device", "genres", "label")
        for way in ("with-ray", "without-ray")
    ]
    rows = [
        [(device, [*genres], label) for device, genres, label in table.iter_rows()]
        for table in found
    ]
    assert rows[0] == rows[1]
    assert [len(genres) for _, genres, _ in rows[0]] == [2, 2]
