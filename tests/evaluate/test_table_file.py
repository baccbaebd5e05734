"""A long table is read row by row, once, and equals what reading it as a whole gives."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector.common.errors import DataError, UserError
from metaselector.evaluate import predictions as predictions_module
from metaselector.evaluate.alignment import (
    Aligned,
    Predictions,
    PredictionTable,
    compact,
    concatenated,
    models_of,
)
from metaselector.evaluate.analysis.breakdown import improvements
from metaselector.evaluate.analysis.heterogeneity import heterogeneity
from metaselector.evaluate.comparisons import compare
from metaselector.evaluate.predictions import load_predictions, save_predictions
from metaselector.evaluate.results import best_model_counts, score, with_common_rows
from metaselector.evaluate.table_file import load_table

MODELS = ("lr", "fm", "lr-train", "fm-train", "metaselector", "oracle-user")


def table(
    rows: int = 60, seeds: tuple[int, ...] = (0, 3), *, lists: bool = False
) -> PredictionTable:
    rng = np.random.default_rng(0)
    users = np.array([f"user {n}" for n in rng.integers(9, size=rows)], dtype=object)
    y = (rng.random(rows) < 0.5).astype(np.float64)
    of = {}
    for seed in seeds:
        p = {model: rng.random(rows) for model in MODELS}
        numbers = np.sort(rng.integers(4, size=rows)) if lists else None
        of[seed] = Aligned(users, y, p, numbers, np.arange(rows) * 3)
    return PredictionTable(of)


def long(of: PredictionTable) -> pd.DataFrame:
    parts = [
        pd.DataFrame({"seed": seed, "model": model, "user": a.users, "row": a.rows, "p": p})
        .assign(task=of.task, y=a.y.astype(np.float32))
        .assign(**({} if a.lists is None else {"list": a.lists}))
        for seed, a in of.seeds.items()
        for model, p in a.p.items()
    ]
    return pd.concat(parts, ignore_index=True)


def assert_same(found: PredictionTable, expected: PredictionTable) -> None:
    assert found.task == expected.task
    assert [*found.seeds] == [*expected.seeds]
    for seed, of in expected.seeds.items():
        mine = found.seeds[seed]
        assert [*mine.p] == [*of.p]
        for name in ("users", "y", "rows", "lists"):
            np.testing.assert_array_equal(getattr(mine, name), getattr(of, name))
        for model, p in of.p.items():
            np.testing.assert_array_equal(mine.p[model], p)


@pytest.mark.parametrize("lists", [False, True])
@pytest.mark.parametrize("piece", [1, 7, 60, 1000])
def test_what_is_saved_in_pieces_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, piece: int, lists: bool
) -> None:
    monkeypatch.setattr(predictions_module, "PIECE", piece)
    monkeypatch.setattr("metaselector.evaluate.table_file._AT_ONCE", 11)
    made = table(lists=lists)
    save_predictions(made, tmp_path / "predictions.parquet")
    assert_same(load_table(tmp_path / "predictions.parquet"), made)
    frame = load_predictions(tmp_path / "predictions.parquet")
    pd.testing.assert_frame_equal(
        frame, long(made)[frame.columns], check_dtype=False, check_column_type=False
    )


def test_rows_in_any_order_are_read(tmp_path: Path) -> None:
    made = table()
    frame = long(made)
    # The same order of rows in each model, but not by position; then rows of all models mixed.
    some = frame.assign(at=frame["row"] % 7).sort_values(["seed", "at"], kind="stable")
    by_model = some.sort_values(["seed", "model"], kind="stable", key=lambda c: c.map(hash_of))
    for order in (by_model.drop(columns="at"), frame.sample(frac=1, random_state=0)):
        save_predictions(order, tmp_path / "predictions.parquet")
        found = load_table(tmp_path / "predictions.parquet")
        for seed, of in made.seeds.items():
            for model, p in of.p.items():
                np.testing.assert_array_equal(found.seeds[seed].p[model], p)
            np.testing.assert_array_equal(found.seeds[seed].users, of.users)


def hash_of(value: object) -> int:
    return value if isinstance(value, int) else MODELS.index(str(value))


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        (lambda f: f.assign(p=f["p"].where(f.index != 8, 1.5)), DataError, "record 9"),
        (lambda f: f.assign(y=f["y"].where(f.index != 8, 0.5)), DataError, "neither 0 nor 1"),
        (lambda f: f.drop(index=[70]), UserError, "lacks 1 of the rows"),
        (lambda f: f.assign(user=f["user"].where(f.index != 70, "x")), UserError, "has user"),
        (lambda f: pd.concat([f, f.iloc[:60]]), UserError, "more than once"),
    ],
)
def test_errors_are_those_of_reading_the_whole(
    tmp_path: Path, change: object, error: type[Exception], message: str
) -> None:
    path = tmp_path / "predictions.parquet"
    save_predictions(change(long(table())), path)  # type: ignore[operator]
    with pytest.raises(error, match=message):
        load_table(path)
    path.write_text("no Parquet")
    with pytest.raises(DataError, match="damaged"):
        load_table(path)
    path.unlink()
    with pytest.raises(DataError, match="not found"):
        load_table(path)


def test_both_kinds_of_table_give_the_same_numbers() -> None:
    made = table()
    frame = long(made)
    best = {0: "lr", 3: "fm"}
    assert models_of(made) == models_of(frame) == [*MODELS]
    assert_same(compact(frame), made)

    def numbers(predictions: Predictions) -> list[pd.DataFrame]:
        scored = score(
            predictions, dataset="d", protocol="p", best_single=best, base_models=["lr", "fm"]
        )
        rows = np.arange(30) * 3
        return [
            scored,
            with_common_rows(scored, predictions, rows, best, ["lr", "fm"]),
            compare(predictions, best, 50),
            best_model_counts(predictions, ["lr", "fm"]),
            improvements(predictions, best, ["metaselector"]),
            *heterogeneity(predictions, predictions, ["lr", "fm"]),
        ]

    for mine, theirs in zip(numbers(made), numbers(frame), strict=True):
        pd.testing.assert_frame_equal(mine, theirs)


def test_improvements_are_the_mean_difference_of_losses() -> None:
    made = table(4, (0, 1))
    found = improvements(made, {0: "lr", 1: "fm"}, ["metaselector", "absent"])

    def losses(seed: int, model: str) -> np.ndarray:
        of = made.seeds[seed]
        return -np.log(np.where(of.y == 1, of.p[model], 1 - of.p[model]))

    expected = [
        (losses(0, "lr")[i] - losses(0, "metaselector")[i]) / 2
        + (losses(1, "fm")[i] - losses(1, "metaselector")[i]) / 2
        for i in range(4)
    ]
    np.testing.assert_allclose(found["metaselector"], expected, rtol=1e-12)
    assert [*found.columns] == ["metaselector"]


def test_rows_that_parts_share_count_once() -> None:
    whole = table().seeds[0]
    rows = np.arange(60)
    parts = [whole.some(rows >= 30), whole.some(rows < 40)]
    assert_same(PredictionTable({0: concatenated(parts)}), PredictionTable({0: whole}))


SCRIPT = """
import resource, sys
from pathlib import Path
import numpy as np
from metaselector.evaluate.alignment import Aligned, PredictionTable
from metaselector.evaluate.predictions import save_predictions
from metaselector.evaluate.table_file import load_table

rows, models = 200_000, 20
rng = np.random.default_rng(0)
names = np.array([f"user {n}" for n in range(20_000)], dtype=object)
users = names[rng.integers(20_000, size=rows)]
p = {f"model {k}": rng.random(rows) for k in range(models)}
of = Aligned(users, (rng.random(rows) < 0.5).astype(float), p, rows=np.arange(rows))
path = Path(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
save_predictions(PredictionTable({0: of}), path)
found = load_table(path)
assert np.array_equal(found.seeds[0].p["model 7"], p["model 7"])
print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
"""


def test_a_large_table_needs_little_more_memory_than_its_probabilities(tmp_path: Path) -> None:
    """As a frame, its 4 million rows took more than 1 GB."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "predictions.parquet")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) < 450
