"""The commands predict and explain, on a tiny run."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from metaselector import AdaptedUser, MetaSelector
from metaselector.data.public.atomic import read_atomic
from metaselector.inference.explanation import explain_user

from .conftest import Invoke

SETTINGS = {
    "base_models": {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 2}}},
    "selector": {"hidden_size": 4, "inputs": ["fields", "outputs", "support-losses"]},
    "adapt": {"support_size": 6, "inner_lr_theta": 0.5, "max_users_per_chunk": 3},
    "meta_train": {"epochs": 1},
    "threads": 1,
}


@pytest.fixture(scope="module")
def raw(write_world: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def model(raw: Path, tmp_path_factory: pytest.TempPathFactory) -> MetaSelector:
    run = tmp_path_factory.mktemp("run") / "run"
    return MetaSelector(directory=run, **SETTINGS).fit("movielens-100k", data=raw)


@pytest.fixture
def files(raw: Path, tmp_path: Path) -> tuple[Path, Path]:
    """Rows of three users, one of them new, as files of history and of candidates."""
    rows = read_atomic(raw, "ml-100k").interactions.drop(columns="line")
    rows = rows[rows["user"].isin(["u1", "u2", "u3"])].replace({"user": {"u3": "new"}})
    late = rows["timestamp"] >= 880_000_000 + 90_000 * 25
    history, candidates = tmp_path / "h.csv", tmp_path / "c.tsv"
    rows[~late & (rows["user"] != "u2")].to_csv(history, index=False)
    rows[late].drop(columns="rating").to_csv(candidates, index=False, sep="\t")
    return history, candidates


@pytest.mark.filterwarnings("ignore::metaselector.common.errors.UnknownWarning")
def test_predict_writes_what_python_predicts(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Invoke,
    tmp_path: Path,
) -> None:
    history, candidates = files
    run = model._fitted_run().directory
    options = ("predict", "--history", history, "--candidates", candidates)
    code, out, err = invoke(*options, "--run", run)
    notes = [
        f"note: {path}: unknown to the model: 1 of {n} users ('new')\n"
        for path, n in ((history, 2), (candidates, 3))
    ]
    assert (code, err) == (0, "".join(notes))
    output = tmp_path / "p.csv"
    model.save(tmp_path / "saved")
    assert invoke(*options, "--run", tmp_path / "saved", "--output", output)[0] == 0
    assert output.read_text() == out
    table = pd.read_csv(output)
    assert list(table.columns) == [
        "user", "item", "timestamp", "probability", "weight_lr", "weight_fm",
    ]  # fmt: skip
    past = pd.read_csv(history)
    for user in ("u1", "u2", "new"):  # u2 has no history there
        mine = table[table["user"] == user]
        adapted = model.adapt(past[past["user"] == user])
        found = adapted.predict(mine[["user", "item", "timestamp"]])
        np.testing.assert_allclose(mine["probability"], found, atol=1e-6)
        np.testing.assert_allclose(mine["weight_fm"], adapted.weights["fm"], atol=1e-6)
    assert list(table["item"]) == list(pd.read_csv(candidates, sep="\t")["item"])

    rows = json.loads(invoke(*options, "--run", run, "--json", "--quiet").out)["predictions"]
    pd.testing.assert_frame_equal(pd.DataFrame(rows), pd.read_csv(output, dtype={"timestamp": str}))
    done = invoke(*options, "--run", run, "--json", "--output", output)
    assert json.loads(done.out) == {"files": [str(output)]}


def test_predict_warns_of_doubtful_candidates_in_one_line(
    model: MetaSelector, files: tuple[Path, Path], invoke: Invoke
) -> None:
    history, candidates = files
    with candidates.open("a") as file:
        file.write("u1\ti1\t0.5\n")
    run = model._fitted_run().directory
    code, _, err = invoke("predict", "--history", history, "--candidates", candidates, "--run", run)
    assert code == 0
    (warning,) = (line for line in err.splitlines() if line.startswith("warning: "))
    assert warning.startswith(
        f"warning: {candidates}: 1 of 16 candidates are older than the newest row"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "h.csv: file not found"),
        ("user,item,timestamp\nu1,i1,1\n", "h.csv (column rating): there is no such column"),
        ("user,item,rating,timestamp\nu1,i1,5,9\nu1,i1,x,10\n", "h.csv:3 (column rating): 'x'"),
    ],
)
def test_predict_names_mistakes_in_one_line(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Invoke,
    content: str | None,
    message: str,
) -> None:
    history, candidates = files
    history.unlink()
    if content is not None:
        history.write_text(content)
    run = model._fitted_run().directory
    code, _, err = invoke("predict", "--history", history, "--candidates", candidates, "--run", run)
    assert code == 2
    assert err.count("\n") == 1
    assert message in err
    code, _, err = invoke("predict", "--history", history, "--candidates", history, "--run", "no")
    assert (code, err) == (
        2, "error: no: holds neither a saved model nor a run; correct the path\n",
    )  # fmt: skip


def test_a_header_is_no_rows(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Invoke,
    tmp_path: Path,
) -> None:
    """Of candidates: nothing is predicted; of a history: nobody is known to have done anything."""
    history, _ = files
    run = model._fitted_run().directory
    empty = tmp_path / "empty.csv"
    empty.write_text("timestamp,item,more,user\n")
    code, out, _ = invoke("predict", "--run", run, "--history", history, "--candidates", empty)
    assert (code, out) == (0, "timestamp,item,more,user,probability,weight_lr,weight_fm\n")
    frame = pd.DataFrame({"item": ["i1"], "timestamp": 890_000_000, "user": "u1", "rating": 5})
    none, asked = tmp_path / "h.parquet", tmp_path / "c.parquet"
    frame[:0].to_parquet(none)
    for rows in (1, 0):
        frame[:rows].drop(columns="rating").to_parquet(asked)
        found = tmp_path / "found.parquet"
        options = ("--history", none, "--candidates", asked, "--output", found)
        assert invoke("predict", "--run", run, *options) == (0, f"{found}\n", "")
        table = pd.read_parquet(found)
        names = ["item", "timestamp", "user", "probability", "weight_lr", "weight_fm"]
        assert list(table.columns) == names
        expected = model.adapt(frame[:0]).predict(frame[:rows])
        assert np.array_equal(table["probability"], expected)


def test_unknown_items_stop_unless_told_not_to(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Invoke,
) -> None:
    history, candidates = files
    rows = pd.read_csv(candidates, sep="\t")
    rows["item"] += ".0"
    rows.to_csv(candidates, sep="\t", index=False)
    run = model._fitted_run().directory
    options = ("predict", "--run", run, "--history", history, "--candidates", candidates)
    code, out, err = invoke(*options)
    assert (code, out) == (2, "")
    assert "c.tsv (column item): the model knows none of the items (" in err
    assert err.count("\n") == 1
    assert "--allow-unknown" in err
    code, out, err = invoke(*options, "--allow-unknown")
    assert code == 0
    assert out.count("\n") == len(rows) + 1
    n = rows["item"].nunique()
    assert f"1 of 3 users ('new'); {n} of {n} items (" in err


def test_names_stay_as_they_are(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Invoke,
    tmp_path: Path,
) -> None:
    """Also those that a spreadsheet takes for formulas: they are ids, to be joined by."""
    history, _ = files
    odd = ["=1+1", "+1", "-1", "@SUM(1)", "\tx", 'a "b", c', "007", "1.0", "NA", "null", " x "]
    frame = pd.DataFrame({"note": odd, "user": "u1", "item": ["i1", *odd[1:]], "timestamp": 9e8})
    frame.to_csv(tmp_path / "c.csv", index=False)
    run = model._fitted_run().directory
    options = ("predict", "--run", run, "--history", history, "--candidates", tmp_path / "c.csv")
    for name in ("p.csv", "p.tsv", "p.parquet"):
        assert invoke(*options, "--output", tmp_path / name)[0] == 0
        if name == "p.parquet":
            found = pd.read_parquet(tmp_path / name)
        else:
            separator = "," if name == "p.csv" else "\t"
            found = pd.read_csv(tmp_path / name, sep=separator, dtype=str, keep_default_na=False)
        assert list(found["note"]) == odd
        assert list(found["item"]) == ["i1", *odd[1:]]
        assert set(found["timestamp"]) == {"900000000.0"}


def test_influence_is_what_leaving_a_row_out_changes(model: MetaSelector, raw: Path) -> None:
    """By adapting to the user's history without the row, as Python has it.

    Of negatives only: a positive that is left out is missing in the histories of later rows then.
    """
    run = model._fitted_run()
    found = explain_user(run, "u9")
    rows = read_atomic(raw, "ml-100k").interactions
    mine = rows[rows["user"] == "u9"].drop(columns="line")
    past, later = mine.iloc[:27], mine.iloc[27:]
    names = ["lr", "fm"]

    def mean_weights(history: pd.DataFrame, support_size: int = 6) -> np.ndarray:
        trained = model.trained
        adapt = trained.config.adapt.model_copy(update={"support_size": support_size})
        config = trained.config.model_copy(update={"adapt": adapt})
        user = AdaptedUser(replace(trained, config=config), history)
        user.predict(later)
        return user.weights[names].to_numpy(np.float64).mean(axis=0)

    after = mean_weights(past)
    np.testing.assert_allclose(found.weights["after"], after, atol=1e-6)
    assert list(found.rows["item"]) == list(past["item"].iloc[-6:])
    assert list(found.rows["rating"]) == list((past["rating"].iloc[-6:] >= 4).astype(float))
    support = past.iloc[-6:]
    checked = 0
    for place, (index, row) in enumerate(support.iterrows()):
        if row["rating"] >= 4:
            continue
        # An older row must not move up into the support.
        shift = after - mean_weights(past.drop(index=index), support_size=5)
        np.testing.assert_allclose(
            found.rows.loc[place, ["shift_lr", "shift_fm"]].astype(float), shift, atol=2e-6
        )
        influence = found.rows.loc[place, "influence"]
        assert influence == pytest.approx(np.abs(shift).sum() / 2, abs=2e-6)
        checked += 1
    assert checked
    assert found.rows["influence"].max() > 1e-5


def test_explain_writes_text_table_and_figure(model: MetaSelector, invoke: Invoke) -> None:
    run = model._fitted_run().directory
    code, out, err = invoke("explain", "--run", run, "--user", "u9")
    assert (code, err) == (0, "")
    assert "user u9: mean weights on the test window" in out
    assert "6 of 6 support rows" in out
    figure, table = run / "explain" / "user-u9.png", run / "explain" / "user-u9.csv"
    assert out.endswith(f"{table}\n{figure}\n")
    assert figure.read_bytes().startswith(b"\x89PNG")
    found = explain_user(model._fitted_run(), "u9").rows
    pd.testing.assert_frame_equal(pd.read_csv(table), found, check_dtype=False, check_exact=False)
    as_json = json.loads(invoke("explain", "--run", run, "--user", "u9", "--json").out)
    assert as_json.keys() == {"user", "weights", "rows", "files"}
    assert as_json["user"] == "u9"
    assert [row["base_model"] for row in as_json["weights"]] == ["lr", "fm"]
    assert [row["item"] for row in as_json["rows"]] == list(found["item"])
    assert as_json["files"] == [str(table), str(figure)]
    code, _, err = invoke("explain", "--run", run, "--user", "u99")
    assert code == 2
    assert "there is no user 'u99'; did you mean 'u9'?" in err
