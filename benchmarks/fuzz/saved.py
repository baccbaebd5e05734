"""Uses of a saved model: rows to predict, score files, and edited models."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import yaml

from benchmarks.fuzz.logs import COLUMNS, Log
from benchmarks.fuzz.mutations import mutated, word
from benchmarks.fuzz.odd_tables import odd_table
from benchmarks.fuzz.odd_yaml import odd_settings
from benchmarks.fuzz.target import Different, Target
from benchmarks.fuzz.world import CANDIDATES, HISTORY, MODEL, RUN
from metaselector.common.errors import UserError
from metaselector.config import ScoresConfig, load_config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.digests import add_digests
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.inference.prediction_files import predicted_table
from metaselector.inference.trained import TrainedModel
from metaselector.models.score_files import read_scores
from metaselector.runs.run import Run

_SUFFIXES = (".csv", ".tsv", ".parquet")


def targets(world: Path) -> list[Target]:
    return [
        Target("predict-files", partial(_rows, world), partial(_predict, world), 10),
        Target("predict-rewritten", partial(_rewritten, world), partial(_compare, world), 4),
        Target("model-edited", partial(_edited, world), _predict_edited, 8),
        Target("score-files", partial(_scores, world), partial(_read_scores, world), 6),
    ]


@cache
def _trained(world: Path) -> TrainedModel:
    return TrainedModel.load(world / MODEL)


def predictions(trained: TrainedModel, history: Path, candidates: Path) -> pd.DataFrame:
    """Probabilities and weights for the candidates."""
    table: Any = predicted_table(trained, history, candidates)
    names = [*(table.column_names if isinstance(table, pa.Table) else table.columns)]
    made = names[-1 - len(trained.base_models) :]  # after the candidates' own columns
    found = table.select(made).to_pandas() if isinstance(table, pa.Table) else table[made]
    assert isinstance(found, pd.DataFrame)
    require_probabilities(found)
    return found


def require_probabilities(table: pd.DataFrame) -> None:
    """Raise :class:`Different` unless all values are from 0 to 1."""
    for name in table:
        values = table[name].to_numpy(dtype=np.float64)
        if not ((values >= 0) & (values <= 1)).all():
            raise Different(f"{name} is {values.tolist()}"[:300])


def read_log_text(path: Path) -> Log:
    """The rows of a file of the world."""
    frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    return Log(frame[list(COLUMNS)].to_numpy().tolist(), {})


def _rows(world: Path, random: Random, folder: Path) -> None:
    """Write a history and candidates, one of them damaged or odd."""
    chosen = random.choice((HISTORY, CANDIDATES))
    for name in (HISTORY, CANDIDATES):
        log = read_log_text(world / name)
        suffix = random.choice(_SUFFIXES)
        path = (folder / name).with_suffix(suffix)
        if suffix == ".parquet":
            odd_table(random, log, path)
        else:
            data = log.text("\t" if suffix == ".tsv" else ",").encode()
            path.write_bytes(mutated(random, data) if name == chosen else data)


def _found(folder: Path, name: str) -> Path:
    return next(folder.glob(f"{Path(name).stem}.*"))


def _predict(world: Path, folder: Path) -> pd.DataFrame:
    history, candidates = (_found(folder, name) for name in (HISTORY, CANDIDATES))
    return predictions(_trained(world), history, candidates)


def _rewritten(world: Path, random: Random, folder: Path) -> None:
    """Write the same rows, with a few odd values, as text and in another format."""
    for name in (HISTORY, CANDIDATES):
        log = read_log_text(world / name)
        for _ in range(random.randrange(3)):
            row = random.choice(log.rows)
            assert isinstance(row, list)
            row[random.randrange(len(row))] = word(random).replace("\n", " ").replace("\r", " ")
        for place, suffix in enumerate((".csv", random.choice((".tsv", ".parquet")))):
            path = (folder / str(place) / name).with_suffix(suffix)
            path.parent.mkdir(exist_ok=True)
            if suffix == ".parquet":
                pd.DataFrame(log.rows, columns=list(COLUMNS)).to_parquet(path)
            else:
                path.write_text(log.text("\t" if suffix == ".tsv" else ","), encoding="utf-8")


def _compare(world: Path, folder: Path) -> None:
    found: list[pd.DataFrame | UserError] = []
    for place in ("0", "1"):
        try:
            found.append(_predict(world, folder / place))
        except UserError as error:
            found.append(error)
    one, other = found
    if isinstance(one, UserError) and isinstance(other, UserError):
        raise one
    if isinstance(one, UserError) or isinstance(other, UserError):
        raise Different(f"refused in one format only: {found}"[:300])
    if not one.equals(other):
        raise Different(f"{one.to_numpy().tolist()}, {other.to_numpy().tolist()}"[:300])


_TEXTS = ("config.yaml", "state.json", "data/schema.json", "data/rows.json")


def _edited(world: Path, random: Random, folder: Path) -> None:
    """Write a model in which one file of settings was edited on purpose."""
    shutil.copytree(world / MODEL, folder / MODEL)
    for name in (HISTORY, CANDIDATES):
        shutil.copy(world / name, folder)
    path = folder / MODEL / random.choice(_TEXTS)
    given: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    edited = odd_settings(random, given)
    if path.suffix == ".json":
        text = json.dumps(_plain(edited), default=str)
    else:
        text = yaml.safe_dump(edited, sort_keys=False, allow_unicode=True)
    path.write_text(text, encoding="utf-8", errors="replace")
    add_digests(path.parent, [path.name])  # otherwise the edit is refused as damage


def _plain(value: Any) -> Any:
    """The value with keys that JSON supports."""
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, list) else value


def _predict_edited(folder: Path) -> None:
    predictions(TrainedModel.load(folder / MODEL), folder / HISTORY, folder / CANDIDATES)


@cache
def _dataset(world: Path) -> tuple[EncodedDataset, list[str]]:
    run = Run(world / RUN, load_config(world / RUN / "config.yaml"))
    return run.dataset, [str(name) for name in FittedEncoder.load(run.data_directory).items.index]


def _scores(world: Path, random: Random, folder: Path) -> None:
    """Write scores by row, or by user, item and time."""
    dataset, items = _dataset(world)
    scores = [f"{random.random():.3f}" for _ in range(len(dataset))]
    by = random.choice((None, ("user", "item", "time")))
    table = pd.DataFrame({"row": dataset.source_rows, "score": scores})
    if by:
        names = np.asarray(dataset.user_names, dtype=object)[dataset.users]
        table = pd.DataFrame(
            {"user": names, "item": np.asarray(items, dtype=object)[dataset.items]}
        )
        unit = (
            10**6 if dataset.timestamps.max() > 10**12 else 1
        )  # unit of the data set's timestamps
        table = table.assign(time=dataset.timestamps // unit, score=scores)
    path = folder / random.choice(("scores.csv", "scores.tsv"))
    data = table.to_csv(index=False, sep="\t" if path.suffix == ".tsv" else ",").encode()
    path.write_bytes(mutated(random, data) if random.random() < 0.9 else data)
    (folder / "by.json").write_text(json.dumps(by), encoding="utf-8")


def _read_scores(world: Path, folder: Path) -> None:
    dataset, items = _dataset(world)
    path = next(folder.glob("scores.*"))
    by = json.loads((folder / "by.json").read_text(encoding="utf-8"))
    settings = ScoresConfig(file=str(path), by=by and tuple(by))
    logits = read_scores(dataset, settings, path, items)
    if logits.shape != (len(dataset),) or not np.isfinite(logits).all():
        raise Different(f"{logits.shape} logits, {np.isfinite(logits).sum()} of them finite")
