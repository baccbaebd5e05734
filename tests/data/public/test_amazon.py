"""Reviews of three releases, and all kinds of wrong lines."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from metaselector.common.errors import DataError
from metaselector.data.interactions import Feature
from metaselector.data.public.amazon import read_amazon

Review = dict[str, Any]
DAY = 1_393_545_600
ROWS = [
    ("ann", "pen", 5.0, DAY + 7),
    ("bob", "ink", 1.0, DAY + 5),
    ("ann", "ink", 4.0, DAY + 7),  # the same time as in the first row
]


def review_2014(user: str, item: str, rating: float, time: int) -> Review:
    return {
        "reviewerID": user,
        "asin": item,
        "reviewerName": 'A "B" C',
        "helpful": [0, 0],
        "reviewText": "Très bien { }",
        "overall": rating,
        "unixReviewTime": time,
        "reviewTime": "02 28, 2014",
    }


def review_2018(user: str, item: str, rating: float, time: int) -> Review:
    review = {**review_2014(user, item, rating, time), "verified": True, "style": {"Size:": " L"}}
    return review | ({"vote": "2"} if item == "pen" else {})


def review_2023(user: str, item: str, rating: float, time: int) -> Review:
    return {
        "rating": rating,
        "title": "Good",
        "images": [{"small_image_url": "https://x"}],
        "asin": f"variant of {item}",
        "parent_asin": item,
        "user_id": user,
        "timestamp": time * 1000 + 999,
        "verified_purchase": True,
    }


def review_2023_plain(user: str, item: str, rating: float, time: int) -> Review:
    review = review_2023(user, item, rating, time)
    review["asin"] = review.pop("parent_asin")
    return review


RELEASES: dict[str, Callable[[str, str, float, int], Review]] = {
    "2014": review_2014,
    "2018": review_2018,
    "2023": review_2023,
    "2023 without variants": review_2023_plain,
}


@pytest.fixture(params=RELEASES)
def reviews(request: pytest.FixtureRequest) -> list[Review]:
    return [RELEASES[request.param](*row) for row in ROWS]


def write(path: Path, reviews: list[Review]) -> Path:
    data = "".join(json.dumps(review) + "\n" for review in reviews).encode()
    path.write_bytes(gzip.compress(data) if path.suffix == ".gz" else data)
    return path


@pytest.mark.parametrize("name", ["r.json", "r.json.gz", "r.jsonl", "r.jsonl.gz"])
def test_table(reviews: list[Review], tmp_path: Path, name: str) -> None:
    path = write(tmp_path / name, reviews)
    table = read_amazon(path)
    expected = pd.DataFrame(ROWS, columns=["user", "item", "rating", "timestamp"])
    expected = expected.astype({"user": "str", "item": "str"}).assign(line=[1, 2, 3])
    if "timestamp" in reviews[0]:  # in milliseconds
        expected["timestamp"] = [review["timestamp"] / 1000 for review in reviews]
    pd.testing.assert_frame_equal(table.interactions[list(expected)], expected)
    assert set(table.interactions) == set(expected)
    assert (table.source, table.repairs) == (path, [])
    assert table.users.shape == table.items.shape == (0, 0)
    assert table.user_features == table.item_features == ()


def test_a_zipped_file_need_not_be_called_so(tmp_path: Path) -> None:
    path = write(tmp_path / "r.json.gz", [review_2014(*row) for row in ROWS])
    assert len(read_amazon(path.rename(tmp_path / "r.json")).interactions) == 3


def test_metadata_brings_categories(tmp_path: Path) -> None:
    path = write(tmp_path / "reviews_X.json", [review_2014(*row) for row in ROWS])
    metadata = tmp_path / "meta_X.json"
    line = "{'asin': 'ink', 'categories': [['Office', 'Ink']]}\n"
    metadata.write_text(line * 2)
    table = read_amazon(path, metadata)
    assert table.items["categories"].to_dict() == {"ink": ("Office", "Ink")}
    assert table.item_features == (Feature("categories", "multivalued", profile=True),)
    table.describe_items(["ink"])  # says nothing twice
    assert table.repairs == [
        f"{metadata}: 1 items are described more than once; the first description is used"
    ]


SECONDS, MILLISECONDS = ["2014", "2018"], ["2023", "2023 without variants"]


def message_of(path: Path) -> str:
    with pytest.raises(DataError) as error:
        list(read_amazon(path).read())
    message = str(error.value)
    assert "\n" not in message
    return message


def bad(tmp_path: Path, release: str, **changes: Any) -> tuple[str, str]:
    """The message about a file whose second and third reviews are changed, and its path."""
    reviews = [RELEASES[release](*row) for row in ROWS]
    for review in reviews[1:]:
        review |= changes
    path = write(tmp_path / "r.json", [{k: v for k, v in r.items() if v != "-"} for r in reviews])
    return message_of(path), str(path)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0, "0 is not a rating from 1 to 5; correct"),
        (-1.0, "-1 is not a rating from 1 to 5"),
        (5.5, "5.5 is not a rating from 1 to 5"),
        (float("nan"), "'NaN' is not a finite number"),
        ("good", "'good' is not a number"),
        (None, "'null' is not a number"),
        ("-", "the key is missing"),
    ],
)
@pytest.mark.parametrize("release", RELEASES)
def test_bad_rating(tmp_path: Path, release: str, value: Any, shown: str) -> None:
    key = "overall" if release in SECONDS else "rating"
    message, path = bad(tmp_path, release, **{key: value})
    assert message.startswith(f"{path}:2 (column {key}): {shown}")
    assert message.endswith("correct or remove the line")


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "'-1' is not a time in seconds"),
        (DAY * 1000, "up to year 2200; it looks like milliseconds, divide by 1000; "),
        ("noon", "'noon' is not a number"),
        ("-", "the key is missing"),
    ],
)
@pytest.mark.parametrize("release", SECONDS)
def test_bad_seconds(tmp_path: Path, release: str, value: Any, shown: str) -> None:
    message, path = bad(tmp_path, release, unixReviewTime=value)
    assert message.startswith(f"{path}:2 (column unixReviewTime): ")
    assert shown in message


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (-1, "-1 is not a time in whole milliseconds"),
        (DAY, "milliseconds since 1970, from 1995 to 2200; multiply times in seconds by 1000"),
        (DAY * 1_000_000, "is not a time in whole milliseconds"),
        (DAY * 1000 + 0.5, "is not a time in whole milliseconds"),
        ("noon", "'noon' is not a number"),
        ("-", "the key is missing"),
    ],
)
@pytest.mark.parametrize("release", MILLISECONDS)
def test_bad_milliseconds(tmp_path: Path, release: str, value: Any, shown: str) -> None:
    message, path = bad(tmp_path, release, timestamp=value)
    assert message.startswith(f"{path}:2 (column timestamp): ")
    assert shown in message


@pytest.mark.parametrize(("release", "key"), [("2014", "reviewerID"), ("2023", "parent_asin")])
@pytest.mark.parametrize("value", ["", 7, None, "-"])
def test_bad_user_or_item(tmp_path: Path, release: str, key: str, value: Any) -> None:
    message, path = bad(tmp_path, release, **{key: value})
    assert message.startswith(f"{path}:2 (column {key}): ")


def test_not_reviews_at_all(tmp_path: Path) -> None:
    path = tmp_path / "meta.json"
    path.write_text('{"asin": "pen", "title": "A pen"}\n')
    assert message_of(path).startswith(
        f"{path}:1: not an Amazon review, it has the keys asin, title;"
    )
    path.write_text("{'asin': 'pen'}\n")
    assert message_of(path).startswith(f"{path}:1: \"{{'asin': 'pen'}}\" is not JSON")


@pytest.mark.parametrize(
    ("damage", "shown"),
    [
        (lambda data: b"", ": the file is empty; copy or fetch it again"),
        (lambda data: gzip.compress(b""), ": the file is empty; copy or fetch it again"),
        (lambda data: gzip.compress(data)[:-9], "the gzip file is truncated here; copy or fetch"),
        (lambda data: data[:-9], ":3: '{"),
        (lambda data: data.replace(b'"B', b'"\xff'), ":1: byte 0xff at position"),
    ],
    ids=["empty", "empty gzip", "cut gzip", "cut", "bytes"],
)
def test_damaged_file(tmp_path: Path, damage: Callable[[bytes], bytes], shown: str) -> None:
    path = write(tmp_path / "r.json", [review_2014(*row) for row in ROWS])
    path.write_bytes(damage(path.read_bytes()))
    message = message_of(path)
    assert message.startswith(str(path))
    assert shown in message


def test_missing_file(tmp_path: Path) -> None:
    assert message_of(tmp_path / "r.json").startswith(f"{tmp_path / 'r.json'}: file not found")
