"""The cold protocol: users that base models have never seen."""

from __future__ import annotations

from pathlib import Path

import pytest

from metaselector.runs.stages import prepare as prepare_stage

from .conftest import Invoke, prepare

COLD = ("--protocol", "cold", "--set", "cold.support_sizes=[3, 6]")


@pytest.mark.slow
def test_new_users_from_raw_data_to_the_overview(
    invoke: Invoke, raw: Path, settings: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    done = invoke("reproduce", "--run", run, "--data", raw, "--config", settings, *COLD)
    assert done.code == 0, done.err
    assert "logloss 3" in done.out
    assert "validation 7 and the test 3" in done.err
    for size in (3, 6):
        text = (run / f"support-{size}" / "summary.md").read_text()
        assert f"movielens-100k, cold-{size}" in text
        assert str(run / f"support-{size}") in done.out
    assert invoke("evaluate", "--run", run).code == 0
    other = invoke("evaluate", "--run", run, "--set", "cold.support_sizes=[3]")
    assert "cold.support_sizes was [3, 6], now [3]" in other.error


@pytest.mark.parametrize("protocol", ["cold", "global"])
def test_the_run_of_another_protocol_has_a_place_of_its_own(
    invoke: Invoke, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, protocol: str
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(prepare_stage, "prepare_run", lambda *_: None)
    for options in (("--protocol", protocol), ("--set", f"protocol={protocol}")):
        done = invoke("data", "prepare", *options)
        assert done.out == f"{Path('runs', f'movielens-100k-{protocol}', 'data')}\n"


def test_short_new_users_are_counted_and_left_out(
    invoke: Invoke, raw: Path, tmp_path: Path
) -> None:
    path = raw / "ml-100k.inter"
    lines = path.read_text().splitlines(keepends=True)
    short = [line for i, line in enumerate(lines) if not (i > 240 and line.startswith("u37\t"))]
    path.write_text("".join(short))
    done = prepare(invoke, raw, tmp_path / "run", "--set", "cold.support_sizes=[3,10]", *COLD[:2])
    assert done.code == 0
    assert "no rows after their first 10; they are left out for support size 10" in done.err
    assert "first 3:" not in done.err


def test_no_new_user_is_long_enough(invoke: Invoke, raw: Path, tmp_path: Path) -> None:
    done = prepare(invoke, raw, tmp_path / "run", "--protocol", "cold")
    assert done.error.endswith("has more than 40 rows; leave 40 out of cold.support_sizes")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("sizes", ["[]", "[0, 5]", "[10, 5]", "[5, 5]"])
def test_wrong_support_sizes(invoke: Invoke, tmp_path: Path, sizes: str) -> None:
    done = invoke("reproduce", "--run", tmp_path / "run", "--set", f"cold.support_sizes={sizes}")
    assert done.lone_error.startswith("cold.support_sizes: ")


def test_data_prepared_for_known_users(invoke: Invoke, prepared: Path) -> None:
    error = invoke("pretrain", "--run", prepared, "--set", "protocol=cold").lone_error
    assert error.startswith(f"{prepared / 'data'}: prepared with protocol=warm, this run has cold")
