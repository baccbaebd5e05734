"""Files of rows to predict are read like training data."""

from __future__ import annotations

import bz2
import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from metaselector.common.errors import DataError
from metaselector.data.encoded.schema import Schema
from metaselector.data.interactions import Feature, InteractionTable, nothing_known
from metaselector.data.preparation.fitted_encoder import FittedEncoder
from metaselector.data.preparation.given_file import given_file
from metaselector.data.preparation.given_rows import interactions_of
from metaselector.data.preparation.raw_rows import RawRows

HEADER = "at,who,what,stars,price\n"
ROWS = ["9,ann,i1,5,2.5", '10,"b ""b"", c",i2,1,', "11,ann,007,4,1e3"]
LOG = HEADER + "\n".join(ROWS) + "\n"


@pytest.fixture(scope="module")
def encoder() -> FittedEncoder:
    names = {"user": "who", "item": "what", "timestamp": "at", "rating": "stars"}
    table = InteractionTable(
        "shop", Path("log.csv"), lambda: iter(()), nothing_known("user"),
        lambda _: nothing_known("item"), features=(Feature("price", "numeric"),), columns=names,
    )  # fmt: skip
    schema = Schema(
        dataset="shop", label_threshold=4, history_length=2, windows=(70, 80, 90), fields=()
    )
    return FittedEncoder.of(schema, table, [])


def cells(given: RawRows) -> dict[str, list[object]]:
    return {
        name: [cell for block in given.blocks for cell in block.columns[name].to_pylist()]
        for name in given.blocks[0].columns
    }


EXPECTED = {
    "at": ["9", "10", "11"],
    "who": ["ann", 'b "b", c', "ann"],
    "what": ["i1", "i2", "007"],
    "stars": ["5", "1", "4"],
    "price": ["2.5", "", "1e3"],
}


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("h.csv", LOG.encode()),
        ("h.csv", b"\xef\xbb\xbf" + LOG.replace("\n", "\r\n").encode()),
        ("h.csv.gz", gzip.compress(LOG.encode(), mtime=0)),
        ("h.csv", gzip.compress(LOG.encode(), mtime=0)),
        ("h.txt", (LOG + "\n\n").encode()),
        ("h.csv", LOG.removesuffix("\n").encode()),
        ("h.csv", LOG.replace(",", ";").replace("; c", ", c").encode()),
        ("h.tsv", LOG.replace(",", "\t").replace("\t c", ", c").encode()),
        ("h.tsv", LOG.encode()),
        ("h.csv", LOG.replace(",", "^").replace("^ c", ", c").encode()),
    ],
)
def test_text_stays_text(encoder: FittedEncoder, tmp_path: Path, name: str, content: bytes) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    given = given_file(encoder, path, labelled=True)
    assert cells(given) == EXPECTED
    blocks = list(interactions_of(encoder, given, labelled=True))
    assert np.concatenate([block.lines for block in blocks]).tolist() == [2, 3, 4]
    assert np.concatenate([block.labels for block in blocks]).tolist() == [[5], [1], [4]]


LINES = pd.DataFrame(EXPECTED).to_json(orient="records", lines=True)


@pytest.mark.parametrize(
    ("files", "asked"),
    [
        ({"h.jsonl": LINES.encode()}, "h.jsonl"),
        ({"h.ndjson.gz": gzip.compress(LINES.encode(), mtime=0)}, "h.ndjson.gz"),
        ({"h.csv.bz2": bz2.compress(LOG.encode())}, "h.csv.bz2"),
        ({"h.csv.zst": pa.compress(LOG.encode(), codec="zstd", asbytes=True)}, "h.csv.zst"),
        ({f"{n}.csv": f"{HEADER}{row}\n".encode() for n, row in enumerate(ROWS)}, "."),
        ({f"{n}.csv": f"{HEADER}{row}\n".encode() for n, row in enumerate(ROWS)}, "*.csv"),
    ],
    ids=lambda given: given if isinstance(given, str) else "",
)
def test_every_format_of_training(
    encoder: FittedEncoder, tmp_path: Path, files: dict[str, bytes], asked: str
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    assert cells(given_file(encoder, tmp_path / asked, labelled=True)) == EXPECTED


def test_no_excel(encoder: FittedEncoder, tmp_path: Path) -> None:
    (tmp_path / "h.xlsx").write_bytes(b"PK")
    with pytest.raises(DataError, match=r"h\.xlsx: unknown file format; use \.csv"):
        given_file(encoder, tmp_path / "h.xlsx", labelled=True)


def test_parquet_and_folders_of_it(encoder: FittedEncoder, tmp_path: Path) -> None:
    frame = pd.DataFrame({**EXPECTED, "at": [9, 10, 11], "more": ["x", None, "z"]})
    folder = tmp_path / "h"
    folder.mkdir()
    frame[:2].to_parquet(folder / "1.parquet")
    frame[2:].to_parquet(folder / "2.parquet")
    assert cells(given_file(encoder, folder, labelled=True)) == {**EXPECTED, "at": [9, 10, 11]}
    given = given_file(encoder, folder, labelled=True, every_column=True)
    assert cells(given)["more"] == ["x", None, "z"]
    assert given.names == tuple(frame.columns)
    frame[:0].to_parquet(tmp_path / "none.parquet")
    assert len(given_file(encoder, tmp_path / "none.parquet", labelled=False)) == 0


def test_a_header_alone_has_no_rows(encoder: FittedEncoder, tmp_path: Path) -> None:
    for text in (HEADER, HEADER.strip(), HEADER + "\n"):
        (tmp_path / "h.csv").write_text(text)
        given = given_file(encoder, tmp_path / "h.csv", labelled=True)
        assert (len(given), given.names) == (0, ("at", "who", "what", "stars", "price"))
        assert list(interactions_of(encoder, given, labelled=True)) == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            HEADER + "\n".join(row + "," for row in ROWS),
            r"h.csv:2 \(column price\): .* has 6 instead of 5 values separated by ','",
        ),
        (LOG + "9,ann\n", r"h.csv:5 \(column what\): .* has 2 instead of 5 values"),
        (LOG + "9,ann,i1,5,1,2\n", r"h.csv:5 .* has 6 instead of 5 values"),
        (HEADER + "\n" + ROWS[0] + "\n", "h.csv:2: the line is blank"),
        (HEADER + '9,"an\nn",i1,5,1\n', "h.csv:2: .* values cannot contain line breaks"),
        (HEADER + '9,"ann,i1,5,1\n', "h.csv:2: .*is not CSV"),
        (HEADER.encode() + b"9,\xff,i1,5,1\n", r"h.csv:2 \(column who\): byte 0xff .* utf-8"),
        ("at,who,what,stars,price,who\n", r"h.csv:1 \(column who\): 'who' is given twice"),
        ("at,who,whet,stars,price\n", r"\(column what\): there is no such column; did you mean"),
        ("x;y;z\n", r"h.csv \(column who\): there is no such column"),
        ("who\nann\n", "h.csv:1: the header has one column, 'who'; name all .* 'what', 'at'"),
        ("who\rwhat\n", "h.csv:1: "),
        ("x" * 200_000 + "\n", "h.csv:1: "),
        ("", "h.csv: the file is empty"),
        (gzip.compress(LOG.encode(), mtime=0)[:40], "h.csv:1: the gzip file is truncated"),
        (None, "h.csv: file not found"),
    ],
)
def test_what_is_wrong_is_named(
    encoder: FittedEncoder, tmp_path: Path, text: str | bytes | None, message: str
) -> None:
    path = tmp_path / "h.csv"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(DataError, match=message) as raised:
        given_file(encoder, path, labelled=True, every_column=True)
    assert "schema" not in str(raised.value)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("x,ann,i1,5,1", r"h.csv:5 \(column at\): 'x'"),
        ("9,,i1,5,1", r"h.csv:5 \(column who\): is empty"),
        ("9,ann,,5,1", r"h.csv:5 \(column what\): is empty"),
        ("9,ann,i1,,1", r"h.csv:5 \(column stars\): is empty"),
        ("9,ann,i1,nan,1", r"h.csv:5 \(column stars\): is empty"),
        ("9,ann,i1,inf,1", r"h.csv:5 \(column stars\): .*inf"),
        ("9,ann,i1,good,1", r"h.csv:5 \(column stars\): 'good'"),
        ("9,ann,i1,5,inf", r"h.csv:5 \(column price\): .*inf"),
        ("9,ann,i1,5,1e999", r"h.csv:5 \(column price\): .*"),
    ],
)
def test_wrong_values_have_the_lines_of_the_file(
    encoder: FittedEncoder, tmp_path: Path, row: str, message: str
) -> None:
    path = tmp_path / "h.csv"
    path.write_text(LOG + row + "\n")
    given = given_file(encoder, path, labelled=True)
    with pytest.raises(DataError, match=message):
        list(interactions_of(encoder, given, labelled=True))
