"""Sort a log with Spark, into the layout that `metaselector data prepare` reads as it is.

    spark-submit examples/sort_with_spark.py 'clicks/*.csv' sorted --user user_id --time timestamp

Rows are numbered in the order of the files' names and of the lines in them. Then users are sorted
by their first row, and the rows of a user by time and number. The schema names the folder and the
column: ``interactions: sorted/`` and ``row: row``. It needs Java 17 or newer and Spark:
``pip install -e '.[spark]'`` in a checkout of MetaSelector.
"""

from __future__ import annotations

import argparse
from itertools import accumulate

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as sf


def read(spark: SparkSession, source: str) -> DataFrame:
    """The rows of Parquet files, or of text with a header, whose values stay text."""
    if source.endswith(".parquet"):
        return spark.read.parquet(source)
    separator = "\t" if ".tsv" in source else ","
    return spark.read.csv(source, header=True, sep=separator, escape='"')


def numbered(log: DataFrame) -> DataFrame:
    """`log` with a column ``row``: 0, 1, 2 … in the order of the files, which no machine sees all.

    Spark gives rows increasing ids within each block of a file; what comes before a block is known
    once the rows of all blocks are counted.
    """
    place = ["_file", "_start"]
    log = log.select(
        "*",
        sf.col("_metadata.file_path").alias("_file"),
        sf.col("_metadata.file_block_start").alias("_start"),
        sf.monotonically_increasing_id().alias("_id"),
    )
    blocks = log.groupBy(place).agg(sf.count("*").alias("n"), sf.min("_id").alias("_first"))
    found = blocks.orderBy(place).collect()
    before = [0, *accumulate(block.n for block in found)]
    starts = [(b._file, b._start, at - b._first) for b, at in zip(found, before, strict=False)]
    shifts = log.sparkSession.createDataFrame(starts, "_file string, _start long, _shift long")
    joined = log.join(sf.broadcast(shifts), place)
    return joined.withColumn("row", sf.col("_id") + sf.col("_shift")).drop(*place, "_id", "_shift")


def sort(log: DataFrame, user: str, time: str, files: int) -> DataFrame:
    """Sort numbered rows into at most `files` files, each with whole users."""
    first = log.withColumn("_first", sf.min("row").over(Window.partitionBy(user)))
    ranges = first.repartitionByRange(files, "_first")
    return ranges.sortWithinPartitions("_first", time, "row").drop("_first")


def main() -> None:
    """Sort the log that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", help="file, folder or pattern: .csv, .tsv or .parquet")
    parser.add_argument("target", help="folder to write, which must not exist")
    parser.add_argument("--user", required=True, help="column of the user")
    parser.add_argument("--time", required=True, help="column of the time")
    parser.add_argument("--files", type=int, default=16, help="files to write")
    given = parser.parse_args()
    spark = SparkSession.builder.appName("sort a log").getOrCreate()
    log = numbered(read(spark, given.source))
    sort(log, given.user, given.time, given.files).write.parquet(given.target)
    spark.stop()


if __name__ == "__main__":
    main()
