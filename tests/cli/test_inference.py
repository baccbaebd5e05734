"""The commands predict and explain, on a tiny run."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from metaselector import AdaptedUser, MetaSelector
from metaselector.cli import main
from metaselector.data.public.atomic import read_atomic
from metaselector.explanation import explain_user

SETTINGS = {
    "base_models": {"lr": {"pretrain": {"epochs": 1}}, "fm": {"pretrain": {"epochs": 2}}},
    "selector": {"hidden_size": 4, "sees": ["fields", "outputs", "support-losses"]},
    "adapt": {"support_size": 6, "theta_rate": 0.5, "max_users_per_chunk": 3},
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
def invoke(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["metaselector", *map(str, arguments)])
        with pytest.raises(SystemExit) as exited:
            main()
        out, err = capfd.readouterr()
        return int(exited.value.code or 0), out, err

    return run


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


def test_predict_writes_what_python_predicts(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Callable[..., tuple[int, str, str]],
    tmp_path: Path,
) -> None:
    history, candidates = files
    run = model._fitted_run().directory
    options = ("predict", "--history", history, "--candidates", candidates)
    code, out, err = invoke(*options, "--run", run)
    assert (code, err) == (0, "")
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


def test_predict_warns_of_doubtful_candidates_in_one_line(
    model: MetaSelector, files: tuple[Path, Path], invoke: Callable[..., tuple[int, str, str]]
) -> None:
    history, candidates = files
    with candidates.open("a") as file:
        file.write("u1\ti1\t0.5\n")
    run = model._fitted_run().directory
    code, _, err = invoke("predict", "--history", history, "--candidates", candidates, "--run", run)
    assert code == 0
    assert err.count("\n") == 1
    assert err.startswith(
        f"warning: {candidates}: 1 of 16 candidates are older than the newest row"
    )


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "h.csv: cannot be read"),
        ("user,item,timestamp\nu1,i1,1\n", "h.csv (column rating): there is no such column"),
        ("user,item,rating,timestamp\nu1,i1,5,9\nu1,i1,x,10\n", "h.csv:3 (column rating): 'x'"),
    ],
)
def test_predict_names_mistakes_in_one_line(
    model: MetaSelector,
    files: tuple[Path, Path],
    invoke: Callable[..., tuple[int, str, str]],
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


def test_explain_writes_text_table_and_figure(
    model: MetaSelector, invoke: Callable[..., tuple[int, str, str]]
) -> None:
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
    code, _, err = invoke("explain", "--run", run, "--user", "u99")
    assert code == 2
    assert "there is no user 'u99'; did you mean 'u9'?" in err
    torch.set_num_threads(1)
