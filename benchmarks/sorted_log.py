"""A log that Spark sorted, prepared, compared with the log in its own order.

    python -m benchmarks.sorted_log --work FOLDER

The synthetic log of clicks is sorted by ``examples/sort_with_spark.py`` in local mode (`pip install
-e '.[spark]'`, Java 17 or newer). Both are prepared by the command line, and every file of the
prepared data must be the same.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer
import yaml

from benchmarks import measure
from benchmarks.command import new_app, print_table, run
from benchmarks.prepare_speed import prepare, working_folder
from benchmarks.synthetic_log import write_log
from metaselector.common.errors import UserError
from metaselector.data.encoded.digests import read_digests

EXAMPLE = Path(__file__).parents[1] / "examples" / "sort_with_spark.py"
MEMORY = "2g"
"""For Spark, whose default of 1 GB is little for a million rows."""

app = new_app()


@app.command()
def main(
    work: Annotated[Path | None, typer.Option(help="Folder for the log, which is kept.")] = None,
    rows: Annotated[int, typer.Option(min=1_000, help="Rows in the log.")] = 1_000_000,
    output: Annotated[Path, typer.Option("--json", help="File to write the figures to.")] = Path(
        "benchmarks/results/speed/sorted_log.json"
    ),
) -> None:
    """Sort a log with Spark, prepare it, and compare."""
    if find_spec("pyspark") is None or shutil.which("java") is None:
        raise UserError("needs Java 17 or newer and Spark: pip install -e '.[spark]'")
    with working_folder(work) as folder:
        log, sorted_ = folder / f"log-{rows}", folder / "by-spark"
        if not log.exists():
            write_log(log, rows)
        shutil.rmtree(sorted_, ignore_errors=True)
        sorted_.mkdir()
        source = log / "csv" / "log.csv"
        os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-memory {MEMORY} pyspark-shell"
        names = ["--user", "user_id", "--time", "timestamp"]
        target = str(sorted_ / "sorted")
        costs = {"sort": measure.cost([sys.executable, str(EXAMPLE), str(source), target, *names])}
        schema = yaml.safe_load((source.parent / "log.yaml").read_text(encoding="utf-8"))
        schema |= {"interactions": "sorted", "row": "row"}
        (sorted_ / "log.yaml").write_text(yaml.safe_dump(schema, sort_keys=False), encoding="utf-8")
        made = {}
        for name, path in {"csv": source.parent, "sorted": sorted_}.items():
            directory = folder / f"run-{name}"
            costs[name] = prepare(str(path / "log.yaml"), directory)
            made[name] = read_digests(directory / "data")
            shutil.rmtree(directory)
        differ = [name for name in made["csv"] if made["csv"][name] != made["sorted"].get(name)]
        if differ:
            raise RuntimeError(f"the prepared data differ: {', '.join(differ)}")
    found = {name: cost._asdict() for name, cost in costs.items()}
    found["sort"] = {"seconds": costs["sort"].seconds}  # the rest is not of Java's process
    where = {"machine": measure.machine(), "versions": measure.versions("pyspark", "pyarrow")}
    measure.save(output, {"rows": rows, "equal_files": len(made["csv"]), **found, **where})
    titles = {"sort": "Spark sorts the CSV", "csv": "CSV prepared", "sorted": "sorted, prepared"}
    cells = {titles[name]: [f"{cost.seconds:,.1f}"] for name, cost in costs.items()}
    print_table("step", ["seconds"], cells, f"{rows:,} rows, equal once prepared")


if __name__ == "__main__":
    run(app)
