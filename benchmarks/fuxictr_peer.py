"""FuxiCTR's preprocessing of the rows that we prepare from MovieLens-100K.

FuxiCTR starts from a flat CSV file. Our preparation starts from raw files: it joins users and
items, splits each user's rows by time, and collects the history. All of this is done for FuxiCTR
before the clock starts. It then builds a vocabulary for each column and writes the rows as ids to
Parquet. It writes one file, as our prepared data set is one; separate files for train, valid and
test would cost FuxiCTR a pipeline each. Profiles (history_genres) are left out, as it has none.

Two ways are timed: `build_dataset`, which its users call and in which Ray transforms the rows (with
FuxiCTR's default number of workers), and the same steps in a loop without Ray, which is faster for
a small table. Ray is started before.
"""

from __future__ import annotations

import csv
import logging
import os
import shutil
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from metaselector.common.errors import UserError
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import PADDING_ID, Field

PEER = "fuxictr"
PACKAGES = (PEER, "polars", "ray", "numpy", "pandas", "pyarrow")
LABEL = "label"
SPLITTER = "^"
UNKNOWN = "unknown"

Task = Callable[[], object]


def check_installed() -> None:
    """Raise :class:`UserError` if FuxiCTR is not installed."""
    if find_spec(PEER) is None:
        raise UserError(f"{PEER} is not installed; run `make benchmark-peers`")


def flat_fields(dataset: EncodedDataset) -> list[Field]:
    """The fields that FuxiCTR supports, as `write_flat` writes them."""
    return [field for field in dataset.schema.fields if field.kind != "profile"]


def write_flat(dataset: EncodedDataset, path: Path) -> None:
    """Write all rows as CSV with a column per field; several words of a field are joined by ``^``.

    A row without words has an empty cell; a word that is not in the vocabulary is `UNKNOWN`.
    """
    rows = np.arange(len(dataset))
    ids = dataset.batch(rows).ids.numpy()
    columns = {}
    for field in flat_fields(dataset):
        words = np.array(["", UNKNOWN, *field.vocabulary])
        first = dataset.schema.first_slot(field.name)
        slots = ids[:, first : first + field.slots]
        codes = np.where(slots == PADDING_ID, 0, slots - field.first_id + 1)
        columns[field.name] = [SPLITTER.join(filter(None, cells)) for cells in words[codes]]
    labels = dataset.label(rows).int().tolist()
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*columns, LABEL])
        writer.writerows(zip(*columns.values(), labels, strict=True))


def tasks(dataset: EncodedDataset, work: Path) -> dict[str, Task]:
    """Both ways to convert the flat file of `dataset` to FuxiCTR's files, inside `work`."""
    # By default Ray reports each start to its makers.
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from fuxictr.preprocess import FeatureProcessor, build_dataset

    table = work / "flat.csv"
    write_flat(dataset, table)
    columns = [_column(field) for field in flat_fields(dataset)]
    label = {"name": LABEL, "active": True, "dtype": "float"}

    def new(name: str) -> Any:
        shutil.rmtree(work / name, ignore_errors=True)
        return FeatureProcessor(columns, label, dataset_id=name, data_root=str(work))

    def with_ray() -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            build_dataset(new("with-ray"), train_data=str(table))

    def without_ray() -> None:
        import polars

        processor = new("without-ray")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy = processor.preprocess(processor.read_data(str(table)))
            processor.fit(lazy)
        frame = lazy.collect()
        batch = {name: frame[name].to_numpy() for name in frame.columns}
        found = polars.DataFrame(processor.transform(batch))
        found.write_parquet(work / "without-ray" / "train.parquet")

    return {"fuxictr": with_ray, "fuxictr without ray": without_ray}


@contextmanager
def started_ray() -> Iterator[None]:
    """Ray as FuxiCTR starts it, but silent; its processes end on exit."""
    import ray
    from fuxictr.preprocess.build_dataset import init_ray

    init_ray()
    ray.data.DataContext.get_current().enable_progress_bars = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    try:
        yield
    finally:
        ray.shutdown()


def _column(field: Field) -> dict[str, Any]:
    column: dict[str, Any] = {"name": field.name, "active": True, "dtype": "str"}
    if field.kind == "categorical":
        return column | {"type": "categorical"}
    return column | {"type": "sequence", "splitter": SPLITTER, "max_len": field.slots}
