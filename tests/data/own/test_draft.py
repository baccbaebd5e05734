"""Drafts of schemas, which must load if everything could be guessed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metaselector.common.errors import DataError, UserError
from metaselector.data.own.draft import draft, write_draft
from metaselector.data.own.log_schema import load_schema
from metaselector.data.own.own_log import read_log
from metaselector.data.public.atomic import read_atomic

from .drafted import COLUMNS, RNG, N, drafted, line_of


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


def test_labels_that_come_after_another(tmp_path: Path) -> None:
    """Whatever the order of their columns."""
    columns = COLUMNS | {
        "bought": [i % 6 == 0 for i in range(N)],
        "liked": [i % 7 == 0 for i in range(N)],
        "clicked": [i % 2 == 0 for i in range(N)],
    }
    del columns["rating"]
    text, schema, table = drafted(tmp_path, columns)
    assert schema.labels is not None
    after = {name: label.after for name, label in schema.labels.items()}
    assert after == {"clicked": None, "bought": "clicked", "liked": None}
    assert list(after) == ["clicked", "bought", "liked"]
    assert "all 34 positives are a positive clicked" in line_of(text, "bought:")
    assert [task.after for task in table.tasks] == [None, "clicked", None]


def test_positives_only(tmp_path: Path) -> None:
    columns = {name: values for name, values in COLUMNS.items() if name != "rating"}
    _, schema, table = drafted(tmp_path, columns | {"bought": 1})
    assert schema.negatives is not None
    assert table.features == ()


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
    """Headers declare types, nothing is quoted, and files of users and items are included."""
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
