"""Titles of items, if the data have them, for display only."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from metaselector.common.errors import DataError
from metaselector.common.files import atomic_file
from metaselector.data.encoded.digests import MEND, add_digests, check_digests, read_digests
from metaselector.data.raw.expansion import read_whole

_FILE = "titles.parquet"
_TITLE = "title"


def save_titles(items: pd.DataFrame, directory: Path) -> None:
    """Save the column ``title`` of `items`, indexed by item, if there is one."""
    if _TITLE not in items:
        return
    titles = items[_TITLE].dropna()
    columns = {"item": titles.index.tolist(), _TITLE: titles.astype("str").tolist()}
    schema = pa.schema([("item", pa.string()), (_TITLE, pa.string())])
    with atomic_file(directory / _FILE) as temporary:
        pq.write_table(pa.table(columns, schema=schema), temporary, compression="zstd")
    add_digests(directory, [_FILE])


def load_titles(directory: Path) -> dict[str, str]:
    """Load the titles by item; empty for data without titles.

    Raises:
        DataError: the file is missing or was changed.
    """
    path = directory / _FILE
    if _FILE not in read_digests(directory) and not path.exists():
        return {}
    check_digests(directory, [_FILE])
    try:
        columns = read_whole(path).to_pydict()
        return dict(zip(columns["item"], columns[_TITLE], strict=True))
    except (OSError, ValueError, KeyError, pa.ArrowException) as error:
        raise DataError(path, f"damaged ({error}); {MEND}") from error
