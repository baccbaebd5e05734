"""The example that sorts a log with Spark: its files prepare to the data of the log."""

from __future__ import annotations

import importlib.util
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from benchmarks.synthetic_log import write_log
from metaselector.data.encoded.digests import read_digests
from metaselector.data.own.own_log import read_log
from metaselector.data.preparation.encode import encode_to
from metaselector.data.preparation.parts import Settings

EXAMPLE = Path(__file__).parents[1] / "examples" / "sort_with_spark.py"
SMALL = {
    "spark.sql.files.maxPartitionBytes": "100k",
    "spark.sql.files.openCostInBytes": "0",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "1g",
    "spark.ui.enabled": "false",
}


def digests(schema: dict[str, Any], interactions: str, folder: Path) -> dict[str, str]:
    path = folder / "log.yaml"
    path.write_text(yaml.safe_dump({**schema, "interactions": interactions, "name": "log"}))
    target = folder / f"data-{interactions.replace('/', '-')}"
    target.mkdir()
    encode_to(read_log(path), target, Settings(drop_short_users=True))
    return read_digests(target)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Spark's own
def test_sorted_by_spark(tmp_path: Path) -> None:
    sql = pytest.importorskip("pyspark.sql", reason="pip install -e '.[spark]' brings it")
    if shutil.which("java") is None:
        pytest.skip("examples/sort_with_spark.py needs Java 17 or newer")
    spec = importlib.util.spec_from_file_location("sort_with_spark", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    example = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(example)
    write_log(tmp_path / "log", 5_000)
    csv = tmp_path / "log" / "csv" / "log.csv"
    assert csv.stat().st_size > 300_000  # several blocks
    spark = sql.SparkSession.builder.master("local[1]").config(map=SMALL).getOrCreate()
    try:
        log = example.numbered(example.read(spark, str(csv)))
        sorted_ = example.sort(log, "user_id", "timestamp", files=3)
        sorted_.write.parquet(str(tmp_path / "sorted"))
    finally:
        spark.stop()
    schema = yaml.safe_load((csv.parent / "log.yaml").read_text())
    expected = digests(schema, "log/csv/log.csv", tmp_path)
    assert len(list((tmp_path / "sorted").glob("*.parquet"))) > 1
    assert digests({**schema, "row": "row"}, "sorted", tmp_path) == expected
