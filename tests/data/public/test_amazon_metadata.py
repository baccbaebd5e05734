"""Categories from metadata in JSON and in Python literals."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from metaselector.common.errors import DataError
from metaselector.data.public.amazon_metadata import read_categories

WANTED = ["A1", "A2", "A3", "A4", "unknown"]
LINES = {  # release: lines of the items A1 to A4 and of one that nobody reviewed
    "2014": [
        "{'asin': 'A1', 'title': \"It's\", 'categories': [['Shop', 'Pens'], ['Shop', 'Gifts']]}",
        "{'asin': 'A2', 'description': 'a\\/b', 'price': 7.5, 'categories': [['Shop', ' Ink ']]}",
        "{'related': {'also_viewed': ['A1']}, 'asin': 'A3', 'categories': [['']]}",
        "{'asin': 'A4'}",
        "{'asin': 'B9', 'categories': open}",
    ],
    "2018": [
        '{"asin": "A1", "category": ["Shop", "Pens", "Gifts"]}',
        '{"category": ["Shop", "Ink"], "asin": "A2"}',
        '{"asin": "A3", "category": []}',
        '{"asin": "A4", "category": null}',
        '{"asin": "B9", "category": ["Shop"]}',
    ],
    "2023": [
        '{"parent_asin": "A1", "categories": ["Shop", "Pens", "Gifts"], "asin": "other"}',
        '{"parent_asin": "A2", "categories": ["Shop", "Ink"]}',
        '{"parent_asin": "A3", "categories": []}',
        '{"parent_asin": "A4", "categories": null}',
        '{"parent_asin": "B9", "categories": ["Shop"]}',
    ],
}


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("release", LINES)
def test_names_on_all_paths(tmp_path: Path, release: str, zipped: bool) -> None:
    path = tmp_path / "meta_X.json.gz"
    data = ("\n".join(LINES[release]) + "\n").encode()
    path.write_bytes(gzip.compress(data) if zipped else data)
    frame, repairs = read_categories(path, WANTED)
    assert frame["categories"].to_dict() == {
        "A1": ("Shop", "Pens", "Gifts"),
        "A2": ("Shop", "Ink"),
        "A3": (),
        "A4": (),
    }
    assert frame.index.name == "item"
    assert repairs == ()


def test_of_two_descriptions_the_first_counts_and_they_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "meta"
    path.write_text("{'asin': 'A1', 'categories': [['One']]}\n{'asin': 'A1'}\n{'asin': 'B'}\n")
    frame, repairs = read_categories(path, WANTED)
    assert frame["categories"].to_dict() == {"A1": ("One",)}
    assert repairs == (
        f"{path}: 1 items are described more than once; the first description is used",
    )


@pytest.mark.parametrize("call", ["open('{0}', 'w')", "__import__('os').system('touch {0}')"])
def test_nothing_is_run(tmp_path: Path, call: str) -> None:
    path, made = tmp_path / "meta", tmp_path / "made"
    path.write_text("{'asin': 'A1', 'x': " + call.format(made) + "}\n")
    with pytest.raises(DataError, match=r"meta:1: .* is neither a JSON object nor a Python dict"):
        read_categories(path, WANTED)
    assert not made.exists()


@pytest.mark.parametrize(
    ("line", "where", "shown"),
    [
        ("{'asin': 'A1'", ":2: ", "is neither a JSON object nor a Python dict"),
        ("['A1']", ":2: ", "is neither a JSON object nor a Python dict"),
        ("", ":2: ", "is neither a JSON object nor a Python dict"),
        ("(" * 10_000, ":2: ", "is neither a JSON object nor a Python dict"),
        ("{'title': 'a pen'}", ":2 (column asin): ", "the line describes no item; it has the"),
        ("{'asin': 7}", ":2 (column asin): ", "the line describes no item"),
        ("{'asin': 'A1', 'categories': 'x'}", ":2 (column categories): ", "is not a list of cat"),
        (
            "{'asin': 'A1', 'categories': [[7]]}",
            ":2 (column categories): ",
            "is not the name of a cat",
        ),
        (
            '{"asin": "A1", "category": [[[]]]}',
            ":2 (column category): ",
            "is not the name of a cat",
        ),
        ("{'asin': 'A1', 't': '\udcff'}", ":2: ", "byte 0xff at position"),
    ],
)
def test_bad_line(tmp_path: Path, line: str, where: str, shown: str) -> None:
    path = tmp_path / "meta"
    path.write_text(f"{{'asin': 'B'}}\n{line}\n{{'asin': 'C'}}\n", errors="surrogateescape")
    with pytest.raises(DataError) as error:
        read_categories(path, WANTED)
    message = str(error.value)
    assert message.startswith(f"{path}{where}")
    assert shown in message
    assert "\n" not in message


def test_truncated_and_empty(tmp_path: Path) -> None:
    path = tmp_path / "meta"
    path.write_bytes(gzip.compress(b"{'asin': 'A1'}\n" * 9)[:-9])
    with pytest.raises(DataError, match="truncated"):
        read_categories(path, WANTED)
    path.write_bytes(b"")
    with pytest.raises(DataError, match="is empty"):
        read_categories(path, WANTED)
