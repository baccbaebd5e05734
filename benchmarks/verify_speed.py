"""The cost of verifying prepared data when it is opened.

``python -m benchmarks.verify_speed`` writes 20 million rows of 12 words (1.5 GB), opens them in
fresh processes and prints the seconds and GB per second of hashing.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from benchmarks import measure
from benchmarks.command import RepeatsOption, new_app, print_table, run
from benchmarks.prepare_speed import ROWS, read, size_mb
from metaselector.common.files import check_space
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.encoded.schema import Field, Schema

FIELDS, WORDS, ROWS_PER_USER = 12, 1000, 50

app = new_app()


def write(directory: Path, rows: int) -> None:
    """Write prepared data with random words."""
    fields = tuple(
        Field(
            name=f"field {place}",
            kind="categorical",
            slots=1,
            first_id=1 + place * (WORDS + 1),
            vocabulary=tuple(map(str, range(WORDS))),
        )
        for place in range(FIELDS)
    )
    schema = Schema(
        dataset="random", label_threshold=1, history_length=0, windows=(60, 80, 90), fields=fields
    )
    generator = np.random.default_rng(0)
    offsets = np.append(np.arange(0, rows, ROWS_PER_USER), rows).astype(np.int64)
    EncodedDataset.of_rows(
        schema,
        generator.integers(1, schema.num_ids, (rows, FIELDS), dtype=np.int32),
        generator.integers(2, size=rows).astype(np.float32),
        offsets,
        tuple(map(str, range(len(offsets) - 1))),
    ).save(directory)


@app.command()
def main(
    rows: Annotated[int, typer.Option(min=1_000, help="Number of rows.")] = ROWS,
    repeats: RepeatsOption = 5,
) -> None:
    """Time the verification of prepared data."""
    with tempfile.TemporaryDirectory(prefix="metaselector-") as folder:
        directory = Path(folder) / "data"
        check_space(Path(folder), rows * 100, "the prepared data")
        write(directory, rows)
        size = size_mb(directory)
        opened = [read("open", directory) for _ in range(repeats)]
    seconds = {key: measure.median([each[key] for each in opened]) for key in ("verify", "open")}
    cells = {
        f"{rows:,}": [
            f"{size:,.0f}",
            f"{seconds['verify']:.2f}",
            f"{size / 1e3 / seconds['verify']:.2f}",
            f"{seconds['open']:.2f}",
        ]
    }
    print_table("rows", ["MB", "verify, s", "GB/s", "open again, s"], cells, "prepared data")


if __name__ == "__main__":
    run(app)
