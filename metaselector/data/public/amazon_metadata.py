"""Read the categories of Amazon's items from metadata files.

The 2014 release writes each item as a Python dict instead of JSON; those lines are parsed as
literals and never run. Its ``categories`` are a list of paths from the root of the shop
(``[['Electronics', 'Cables'], ...]``). In 2018 ``category`` and in 2023 ``categories`` is one path.
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pandas as pd

from metaselector.common.errors import DataError
from metaselector.data.raw.lines import decode, read_blocks
from metaselector.data.raw.values import MEND, shown

_OTHER_ITEM = re.compile(rb"\{'asin': '([0-9A-Z]+)'[,}]")
"""Start of lines of the 2014 release. It allows skipping an item without parsing it, which is slow;
most items of the shop are not in a file of frequent users' reviews."""
_ITEM_KEYS = ("parent_asin", "asin")
_CATEGORY_KEYS = ("categories", "category")


def read_categories(path: Path, wanted: Iterable[str]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Read the categories of the `wanted` items from a file, gzipped or not.

    Lines of other items are skipped, unchecked if their first key is the item. An item's categories
    are the distinct names on all of its paths, in the order of the file. If an item is described
    more than once, the first description counts.

    Returns:
        ``categories`` (tuples of strings) by item, for the items in the file, and counted
        sentences about repairs.

    Raises:
        DataError: the file is missing, empty, truncated or damaged, or a line describes no item.
    """
    needed = set(wanted)
    found: dict[str, tuple[str, ...]] = {}
    again = 0
    for block in read_blocks(path):
        for line, raw in enumerate(block.lines(), start=block.first_line):
            begins = _OTHER_ITEM.match(raw)
            if begins and begins[1].decode() not in needed:
                continue
            item, categories = _item(path, line, raw)
            again += item in found
            if item in needed:
                found.setdefault(item, categories)
    index = pd.Index(list(found), dtype="str", name="item")
    frame = pd.DataFrame({"categories": pd.Series(list(found.values()), index, dtype=object)})
    said = f"{path}: {again:,} items are described more than once; the first description is used"
    return frame, (said,) * bool(again)


def _item(path: Path, line: int, raw: bytes) -> tuple[str, tuple[str, ...]]:
    described = _parse(path, line, raw)
    item = next((described[key] for key in _ITEM_KEYS if key in described), None)
    if not isinstance(item, str) or not item:
        problem = f"the line describes no item; it has the keys {', '.join(map(str, described))}"
        raise DataError(path, f"{problem[:160]}; {MEND}", line=line, column="asin")
    key = next((key for key in _CATEGORY_KEYS if key in described), None)
    try:
        return item, () if key is None else _names(described[key])
    except ValueError as error:
        raise DataError(path, f"{error}; {MEND}", line=line, column=key) from None


def _names(categories: Any) -> tuple[str, ...]:
    """Distinct names of one path, or of a list of paths."""
    if categories is None:
        return ()
    if not isinstance(categories, list):
        raise ValueError(f"{shown(str(categories))} is not a list of categories")
    names: dict[str, None] = {}
    for entry in categories:
        for name in entry if isinstance(entry, list) else [entry]:
            if not isinstance(name, str):
                raise ValueError(f"{shown(str(name))} is not the name of a category")
            names[name.strip()] = None
    names.pop("", None)
    return tuple(names)


def _parse(path: Path, line: int, raw: bytes) -> dict[Any, Any]:
    text = decode(path, line, raw)
    try:
        described = json.loads(text)
    except (ValueError, RecursionError):
        described = _literal(text)
    if not isinstance(described, dict):
        problem = f"{shown(text)} is neither a JSON object nor a Python dict; {MEND}"
        raise DataError(path, problem, line=line)
    return described


def _literal(text: str) -> Any:
    """Parse a Python literal without running it; None if `text` is not one."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Python warns about odd escapes, which are normal in texts
        try:
            return ast.literal_eval(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            return None
