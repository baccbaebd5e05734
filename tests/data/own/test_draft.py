"""Drafts of schemas: what is guessed, and that every draft that could guess can be read."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import ConfigError, DataError, UserError
from metaselector.data.interactions import InteractionTable
from metaselector.data.own.column_profile import ColumnProfile
from metaselector.data.own.draft import draft, write_draft
from metaselector.data.own.draft_guesses import parts, threshold
from metaselector.data.own.log_schema import LogSchema, load_schema
from metaselector.data.own.own_log import read_log
from metaselector.data.public.atomic import read_atomic

N = 200
RNG = np.random.default_rng(0)
COLUMNS: dict[str, Any] = {
    "user_id": [f"u{i % 30}" for i in range(N)],
    "item_id": [i % 50 for i in range(N)],
    "timestamp": [1_600_000_000 + i for i in range(N)],
    "rating": [1 + i % 5 for i in range(N)],
}


def drafted(
    folder: Path, columns: dict[str, Any], name: str = "log.csv"
) -> tuple[str, LogSchema, InteractionTable]:
    """The draft for a file of `columns`, the schema it loads as, and the table that reads."""
    frame = pd.DataFrame(columns)
    if name.endswith(".parquet"):
        frame.to_parquet(folder / name)
    else:
        frame.to_csv(folder / name, index=False, sep="\t" if name.endswith(".tsv") else ",")
    write_draft(folder / name, folder / "shop.yaml")
    table = read_log(folder / "shop.yaml")
    assert len(table.interactions) == len(frame)
    return (folder / "shop.yaml").read_text(), load_schema(folder / "shop.yaml"), table


def line_of(text: str, start: str) -> str:
    return next(line for line in text.splitlines() if line.strip().startswith(start))


@pytest.mark.parametrize("name", ["log.csv", "log.tsv", "log.csv.gz", "log.parquet"])
def test_well_named_columns(tmp_path: Path, name: str) -> None:
    columns = COLUMNS | {
        "device": ["phone", "desk"] * (N // 2),
        "price": RNG.random(N).round(3),
        "tags": ["a|b", "b", "c|d|e", ""] * (N // 4),
    }
    text, schema, table = drafted(tmp_path, columns, name)
    assert (schema.name, schema.interactions) == ("log", name)
    assert (schema.user, schema.item) == ("user_id", "item_id")
    assert (schema.time.column, schema.time.unit) == ("timestamp", "seconds")
    assert schema.labels is not None
    assert {key: (label.column, label.threshold) for key, label in schema.labels.items()} == {
        "rating": ("rating", 4.0)
    }
    assert [(f.name, f.kind) for f in table.features] == [
        ("device", "categorical"),
        ("price", "numeric"),
        ("tags", "multivalued"),
    ]
    for role in ("user", "item", "time"):
        assert "# check:" not in line_of(text, role)
    assert line_of(text, "user:").endswith("words, 30 distinct, 0 % missing, such as 'u0'")
    assert "lists of words, 3 distinct, 25 % missing, such as 'a|b'" in line_of(text, "tags:")


@pytest.mark.parametrize(
    ("user", "item", "time", "label"),
    [
        ("reviewerID", "asin", "unixReviewTime", "overall"),
        ("userId", "movieId", "timestamp", "rating"),
        ("CustomerId", "ProductId", "date", "stars"),
        ("uid", "sku", "ts", "score"),
        ("user", "item", "time", "label"),
        ("account_key", "article_code", "created_at", "user_rating"),
    ],
)
def test_names_that_others_use(tmp_path: Path, user: str, item: str, time: str, label: str) -> None:
    names = dict(zip(COLUMNS, (user, item, time, label), strict=True))
    columns = {"item_name": [f"n{i % 9}" for i in range(N)]}
    columns |= {names[name]: values for name, values in COLUMNS.items()}
    _, schema, table = drafted(tmp_path, columns)
    assert (schema.user, schema.item, schema.time.column) == (user, item, time)
    assert schema.labels is not None
    assert [label_.column for label_ in schema.labels.values()] == [label]
    assert [feature.name for feature in table.features] == ["item_name"]


def test_columns_of_zero_and_one(tmp_path: Path) -> None:
    columns = COLUMNS | {
        "is_clicked": [i % 3 == 0 for i in range(N)],
        "purchased": [0, 1, None, 0] * (N // 4),
        "mobile": [0, 1] * (N // 2),
    }
    del columns["rating"]
    text, schema, _ = drafted(tmp_path, columns)
    assert schema.labels is not None
    assert {key: (label.column, label.threshold) for key, label in schema.labels.items()} == {
        "is_clicked": ("is_clicked", None),
        "purchased": ("purchased", None),
    }
    assert "# check: known before the outcome, or a label?" in line_of(text, "mobile:")


def test_a_label_with_another_name_is_doubted(tmp_path: Path) -> None:
    columns = {name: values for name, values in COLUMNS.items() if name != "rating"}
    text, schema, _ = drafted(tmp_path, columns | {"y": [0, 1] * (N // 2)})
    assert schema.labels is not None
    assert list(schema.labels) == ["y"]
    assert "# check: a column of 0 and 1" in line_of(text, '"y"')


def test_positives_only(tmp_path: Path) -> None:
    columns = {name: values for name, values in COLUMNS.items() if name != "rating"}
    _, schema, table = drafted(tmp_path, columns | {"bought": 1})
    assert schema.negatives is not None
    assert table.features == ()


@pytest.mark.parametrize(
    ("values", "unit"),
    [
        ([1_600_000_000_000 + i for i in range(N)], "milliseconds"),
        ([1_600_000_000.5 + i for i in range(N)], "seconds"),
        ([f"2024-05-{1 + i % 28:02}" for i in range(N)], "iso"),
        ([f"2024-05-01T12:00:{i % 60:02}Z" for i in range(N)], "iso"),
        (list(range(N)), "seconds"),
    ],
)
def test_units(tmp_path: Path, values: list[Any], unit: str) -> None:
    _, schema, _ = drafted(tmp_path, COLUMNS | {"timestamp": values})
    assert schema.time.unit == unit


def test_times_with_a_type(tmp_path: Path) -> None:
    start = datetime.datetime(2024, 5, 1, tzinfo=datetime.UTC)
    times = [start + datetime.timedelta(hours=i) for i in range(N)]
    _, schema, _ = drafted(tmp_path, COLUMNS | {"timestamp": times}, "log.parquet")
    assert schema.time.unit is None


def test_columns_found_by_their_values(tmp_path: Path) -> None:
    renamed = dict(zip(COLUMNS, ["a", "b", "c", "rating"], strict=True))
    columns = {renamed[name]: values for name, values in COLUMNS.items()}
    text, schema, _ = drafted(tmp_path, columns)
    assert {schema.user, schema.item} == {"a", "b"}
    assert schema.time.column == "c"
    for role in ("user", "item", "time"):
        assert "# check: guessed from its values" in line_of(text, role)


def test_columns_left_out(tmp_path: Path) -> None:
    columns = COLUMNS | {
        "": range(N),
        "shop": "x",
        "nothing": None,
        "session_id": [f"s{i}" for i in range(N)],
        "updated": ["2024-05-01"] * (N - 1) + ["2024-05-02"],
        "season": ["dry", "wet"] * (N // 2),
        "history_x": ["a", "b"] * (N // 2),
        "a: #b": ["a", "b"] * (N // 2),
        "no": ["a", "b"] * (N // 2),
    }
    text, _, table = drafted(tmp_path, columns)
    assert line_of(text, "# column_:").endswith("; left out: it has no name")
    assert line_of(text, "# shop").endswith("; left out: constant")
    assert line_of(text, "# nothing").endswith("; left out: empty in all rows")
    assert line_of(text, "# session_id").endswith("; left out: nearly all values are distinct")
    assert line_of(text, "# updated").endswith("; left out: a second time")
    names = [feature.name for feature in table.features]
    assert names == ["season_column", "column_history_x", "a: #b", "no"]


def test_what_cannot_be_guessed(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame({"a": ["x"] * 9, "b": ["y"] * 9}).to_csv(path, index=False)
    text = draft(path)
    for role in ("user: CHANGE_ME", "item: CHANGE_ME", "time: {column: CHANGE_ME}"):
        assert f"{role}  # check:" in text
    write_draft(path, tmp_path / "shop.yaml")
    with pytest.raises(ConfigError, match=r"shop\.yaml: user: replace CHANGE_ME, as"):
        load_schema(tmp_path / "shop.yaml")


def test_a_time_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS | {"timestamp": "05/01/2024 1pm"}).to_csv(path, index=False)
    assert "time: {column: timestamp, unit: CHANGE_ME}" in draft(path)


def test_a_unit_that_schemas_do_not_have_is_named(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    times = [time * 1_000_000 for time in COLUMNS["timestamp"]]
    pd.DataFrame(COLUMNS | {"timestamp": times}).to_csv(path, index=False)
    line = line_of(draft(path), "time")
    assert line.startswith("time: {column: timestamp, unit: CHANGE_ME}")
    assert line.endswith(
        "# check: looks like microseconds; divide by 1,000 and set time.unit: milliseconds"
    )


def test_a_day_in_one_number_is_no_time(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS | {"timestamp": 20240501}).to_csv(path, index=False)
    assert "time: {column: timestamp, unit: CHANGE_ME}" in draft(path)


def test_gaps_are_told(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    users = [None, *COLUMNS["user_id"][1:]]
    pd.DataFrame(COLUMNS | {"user_id": users}).to_csv(path, index=False)
    assert line_of(draft(path), "user").endswith("# check: 1 rows have none; remove them")


def test_another_separator(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS | {"place": "a,b"}).to_csv(path, index=False, sep=";")
    write_draft(path, tmp_path / "shop.yaml")
    assert load_schema(tmp_path / "shop.yaml").separator == ";"
    assert len(read_log(tmp_path / "shop.yaml").interactions) == N


def test_the_file_may_be_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "raw").mkdir()
    path = tmp_path / "raw" / "log.csv"
    pd.DataFrame(COLUMNS).to_csv(path, index=False)
    output = tmp_path / "schemas" / "shop.yaml"
    write_draft(path, output)
    assert load_schema(output).interactions == "../raw/log.csv"
    assert len(read_log(output).interactions) == N


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    pd.DataFrame(COLUMNS).to_csv(path, index=False)
    with pytest.raises(UserError, match=r"log.csv: already exists; remove it, or choose another"):
        write_draft(path, path)


@pytest.mark.parametrize(
    ("text", "message"), [("", "the file is empty"), ("a,b\n", "contains only a header")]
)
def test_files_without_rows(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "log.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        draft(tmp_path / "log.csv")


def test_parts_of_names() -> None:
    assert parts("reviewerID") == ["reviewer", "id"]
    assert parts("user_id2") == ["user", "id", "2"]
    assert parts("HTMLPage") == ["html", "page"]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([1, 2, 3, 4, 5], 4),
        ([0.5 * i for i in range(1, 11)], 4),
        (list(range(11)), 8),
        ([4, 5], 5),
        ([-3, -2, -1], -2),
        (list(range(100)), 50),
    ],
)
def test_thresholds(values: list[float], expected: float) -> None:
    assert threshold(ColumnProfile("r", "number", 9, numbers=np.array(values, float))) == expected


NAMES = st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "S", "Zs"]), min_size=1)
VALUES = st.sampled_from(
    [
        lambda i: i % 2,
        lambda i: i % 7,
        lambda i: i / 3,
        lambda i: f"w{i % 4}",
        lambda i: f"a|b{i % 3}",
        lambda i: None if i % 2 else "x",
        lambda i: "2024-05-01",
        lambda i: -i,
        lambda i: "yes" if i % 2 else "no",
    ]
)


@given(more=st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_draft_can_be_read(tmp_path_factory: pytest.TempPathFactory, more: Any) -> None:
    taken = {name.lower() for name in COLUMNS}
    others = {
        name: [value(i) for i in range(N)]
        for name, value in more.items()
        if name.lower() not in taken and "user" not in name and "item" not in name
    }
    for suffix in (".csv", ".parquet"):
        folder = tmp_path_factory.mktemp("drafts")
        _, schema, _ = drafted(folder, COLUMNS | others, "log" + suffix)
        assert (schema.user, schema.item) == ("user_id", "item_id")


def test_atomic_files_of_any_collection(tmp_path: Path) -> None:
    """Their headers say what words are; nothing in them is quoted; side files come along."""
    inter = "user_id:token\titem_id:token\tlabel:float\ttimestamp:float\tprice:float\n"
    inter += "".join(f"{u}\t{i}\t{(u + i) % 2}\t{1_600_000_000 + i}\t{i}.5\n" for u, i in PAIRS)
    (tmp_path / "shop.inter").write_text(inter)
    items = "item_id:token\tcategories:token_seq\ttitle:token\tvector:float_seq\n"
    items += "".join(f'{i}\tred "big{i % 3}\t"{i}\t0.1 0.2\n' for i in range(9))
    (tmp_path / "shop.item").write_text(items)
    write_draft(tmp_path / "shop.inter", tmp_path / "shop.yaml")
    schema = load_schema(tmp_path / "shop.yaml")
    assert (schema.user, schema.item) == ("user_id:token", "item_id:token")
    assert schema.labels is not None
    assert schema.labels["label"].column == "label:float"
    assert schema.users is None
    table = read_log(tmp_path / "shop.yaml")
    assert [(f.name, f.kind) for f in table.features] == [("price", "numeric")]
    assert [(f.name, f.kind) for f in table.item_features] == [("categories", "multivalued")]
    assert table.interactions["user"].tolist() == [str(u) for u, _ in PAIRS]
    assert table.items.loc["4", "categories"] == ("red", '"big1')


PAIRS = [(u, i) for u in range(6) for i in range(9)]


def test_drafts_of_atomic_files_read_as_their_own_reader_does(
    tmp_path: Path, write_world: Callable[..., Path]
) -> None:
    raw = write_world(tmp_path / "raw")
    write_draft(raw / "ml-100k.inter", tmp_path / "ml.yaml")
    ours, theirs = read_log(tmp_path / "ml.yaml"), read_atomic(raw, "ml-100k")
    pd.testing.assert_frame_equal(
        ours.interactions, theirs.interactions[ours.interactions.columns], check_dtype=False
    )
    ages = ours.users["age"], theirs.users["age"]
    pd.testing.assert_series_equal(*ages, check_names=False, check_index_type=False)
