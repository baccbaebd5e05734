"""Study files: of another search, of other data, or not a study at all."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import optuna
import pytest

from metaselector.common.errors import CheckpointError, UserError
from metaselector.common.progress import Silent
from metaselector.config import change_config
from metaselector.runs.run import Run
from metaselector.runs.tuning.search import tune
from tests.runs.tuning.small_search import (
    FM,
    RATES,
    SIMPLIFIED,
    Write,
)


@pytest.mark.usefixtures("simple")
@pytest.mark.parametrize(
    ("text", "changes", "message"),
    [
        (
            RATES.replace("3.0", "2.0"),
            {},
            r"space\.adapt\.inner_lr_phi\.attributes\.high was 3.0, now",
        ),
        (RATES + FM, {}, r"space\.base_models\.fm\.pretrain\.learning_rate was null, now "),
        (RATES, {"meta_train.query_size": 7}, r"meta_train\.query_size was 15, now 7"),
        (RATES, {"seeds": [3, 4]}, r"seeds was \[3\], now \[3, 4\]"),
    ],
)
def test_a_study_of_another_search(
    run: Run,
    space: Write,
    text: str,
    changes: dict[str, object],
    message: str,
) -> None:
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    with pytest.raises(CheckpointError, match=message) as caught:
        tune(Run(run.directory, change_config(run.config, changes)), space(text), SIMPLIFIED, 2,
             Silent())  # fmt: skip
    study = run.directory / "tune" / f"{SIMPLIFIED}.db"
    assert str(caught.value).startswith(f"{study}: belongs to another search: ")
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("simple")
def test_a_study_of_other_data(run: Run, space: Write, tmp_path: Path) -> None:
    tune(run, space(RATES), SIMPLIFIED, 1, Silent())
    study = run.directory / "tune" / f"{SIMPLIFIED}.db"
    with sqlite3.connect(study) as opened:
        ((written,),) = opened.execute("select value_json from study_user_attributes").fetchall()
        other = json.loads(written) | {"data_sha256": "0"}
        opened.execute("update study_user_attributes set value_json = ?", [json.dumps(other)])
    opened.close()
    with pytest.raises(CheckpointError, match='data_sha256 was "0", now '):
        tune(run, space(RATES), SIMPLIFIED, 2, Silent())


@pytest.mark.usefixtures("simple")
def test_a_file_that_is_no_study(run: Run, space: Write, tmp_path: Path) -> None:
    study = tmp_path / "study.db"
    study.write_text("no database\n" * 100)
    for path in (study, tmp_path, study / "inner.db"):
        with pytest.raises(UserError) as caught:
            tune(run, space(RATES), SIMPLIFIED, 1, Silent(), study=path)
        assert str(caught.value).startswith(f"{path}: not usable as a study (")
        assert "\n" not in str(caught.value)
    assert study.read_text() == "no database\n" * 100


@pytest.mark.usefixtures("simple")
def test_a_study_that_another_program_made(run: Run, space: Write, tmp_path: Path) -> None:
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / 'study.db'}")
    study = optuna.create_study(storage=storage, study_name=SIMPLIFIED)
    study.set_user_attr("mine", 1)
    storage.remove_session()
    storage.engine.dispose()
    with pytest.raises(CheckpointError, match="another program made it"):
        tune(run, space(RATES), SIMPLIFIED, 1, Silent(), study=tmp_path / "study.db")
