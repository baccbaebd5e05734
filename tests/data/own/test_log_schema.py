"""Schemas of logs, and messages about their mistakes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from metaselector.common.errors import ConfigError
from metaselector.data.interactions import Feature
from metaselector.data.own.log_schema import LogSchema, load_schema

EVERYTHING = """
version: 1
name: clicks
interactions: clicks.csv
separator: ";"
user: user_id
item: item_id
time: {column: timestamp, unit: milliseconds}
labels:
  like: {column: rating, threshold: 4}
  bought: {column: bought}
features:
  price: {kind: numeric, buckets: 10}
  tags: {kind: multivalued, separator: ","}
  device: {kind: categorical, min_count: 5}
  hour_of_shop: {column: hour}
time_parts: [day_of_week, season]
users: {file: users.csv, key: user_id, separator: ",", features: {age: {kind: categorical}}}
items: {file: items.csv, key: item_id, features: {genres: {kind: multivalued, profile: true}}}
"""
SMALL: dict[str, Any] = {
    "version": 1,
    "interactions": "clicks.csv",
    "user": "u",
    "item": "i",
    "time": {"column": "t", "unit": "seconds"},
    "labels": {"like": {"column": "r", "threshold": 4}},
}


def load(tmp_path: Path, text: str, name: str = "shop.yaml") -> LogSchema:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_schema(path)


def problem(tmp_path: Path, text: str, name: str = "shop.yaml") -> str:
    with pytest.raises(ConfigError) as error:
        load(tmp_path, text, name)
    message = str(error.value)
    assert "\n" not in message
    return message.removeprefix(str(tmp_path / name))


def test_everything(tmp_path: Path) -> None:
    schema = load(tmp_path, EVERYTHING)
    assert schema.name == "clicks"
    assert schema.labels is not None
    assert list(schema.labels) == ["like", "bought"]
    assert schema.as_features() == (
        Feature("price", "numeric", buckets=10),
        Feature("tags", "multivalued", separator=","),
        Feature("device", min_count=5),
        Feature("hour_of_shop"),
    )
    assert schema.columns["hour_of_shop"] == "hour"
    assert schema.items is not None
    assert schema.items.as_features() == (Feature("genres", "multivalued", profile=True),)


def test_defaults(tmp_path: Path) -> None:
    schema = load(tmp_path, yaml.safe_dump(SMALL))
    assert schema.name == "shop"
    assert schema.time_parts == ("day_of_week", "season")
    assert schema.features == {}


def test_features_that_are_all_commented_out(tmp_path: Path) -> None:
    assert load(tmp_path, yaml.safe_dump(SMALL) + "features:\n").features == {}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"usr": "u"}, ": unknown key 'usr'; did you mean 'user'?"),
        ({"time": {"colum": "t"}}, ": time: unknown key 'colum'; did you mean 'column'?"),
        (
            {"features": {"price": {"kind": "numeric", "bucket": 3}}},
            ": features.price: unknown key 'bucket'; did you mean 'buckets'?",
        ),
        ({"user": None}, ": user: should be text; put it in quotes (got None)"),
        ({"user": 5}, ": user: should be text; put it in quotes (got 5)"),
        ({"version": 2}, ": version: should be 1 (got 2)"),
        (
            {"time": {"column": "t", "unit": "minutes"}},
            ": time.unit: should be 'seconds', 'milliseconds' or 'iso' (got 'minutes')",
        ),
        ({"time": "t"}, ": time: should be a mapping, such as {key: value} (got 't')"),
        ({"time_parts": ["week"]}, ": time_parts.0: should be 'hour', "),
        ({"time_parts": ["hour", "hour"]}, ": time_parts: a part is given twice"),
        ({"separator": "::"}, ": separator: '::' must be one ASCII character"),
        ({"separator": '"'}, ": separator: '\"' must be one ASCII character, and not a quote"),
        ({"labels": None}, ": labels: give either labels or negatives, found neither"),
        ({"labels": {}}, ": labels: "),
        ({"negatives": {"per_positive": 4}}, ": labels: give either labels or negatives, found"),
        ({"labels": {"like": {"column": "r", "threshold": ".inf"}}}, ": labels.like.threshold: "),
        ({"labels": {"a b": {"column": "r"}}}, ": labels: 'a b' is invalid; use"),
        ({"name": "my shop"}, ": name: 'my shop' is invalid; use letters, digits"),
        ({"item": "u"}, ": item: column 'u' is already the user; choose another column"),
        (
            {"labels": {"like": {"column": "t"}}},
            ": labels.like: column 't' is already the time.column",
        ),
        (
            {"features": {"r": {"kind": "numeric"}}},
            ": features.r: column 'r' is the label like, which models must not see",
        ),
        (
            {"features": {"stars": {"column": "r"}}},
            ": features.stars: column 'r' is the label like",
        ),
        ({"features": {"t": {}}}, ": features.t: column 't' is already the time.column; remove"),
        ({"features": {"u": {}}}, ": features.u: column 'u' is already the user"),
        ({"features": {"user": {}}}, ": features.user: 'user' is reserved; rename"),
        ({"features": {"history_x": {}}}, ": features.history_x: names that begin with history_"),
        ({"features": {"season": {}}}, ": features.season: 'season' is one of the time_parts; "),
        ({"features": {"like": {}}}, ": features.like: 'like' is a label; rename the feature"),
        (
            {
                "users": {"file": "u.csv", "key": "u", "features": {"age": {}}},
                "items": {"file": "i.csv", "key": "i", "features": {"age": {}}},
            },
            ": items.features.age: 'age' is one of users.features; rename the feature",
        ),
        (
            {"features": {"x": {"kind": "categorical", "buckets": 3}}},
            ": features.x: buckets has no effect on a categorical feature; remove it",
        ),
        (
            {"features": {"x": {"kind": "multivalued", "profile": True}}},
            ": features.x.profile: only item features can have one",
        ),
        ({"user": "CHANGE_ME"}, ": user: replace CHANGE_ME, as"),
        ({"time": {"column": "t", "unit": "CHANGE_ME"}}, ": time.unit: replace CHANGE_ME, as"),
    ],
)
def test_mistakes(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    found = problem(tmp_path, yaml.safe_dump({**SMALL, **change}, sort_keys=False))
    assert found.startswith(message)


@pytest.mark.parametrize("key", ["version", "interactions", "user", "item", "time"])
def test_missing_keys(tmp_path: Path, key: str) -> None:
    given = {name: value for name, value in SMALL.items() if name != key}
    assert problem(tmp_path, yaml.safe_dump(given)) == f": {key}: missing; add it"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("user: a\nitem: b\nuser: c\n", ":3: not valid YAML ('user' is given twice; remove one"),
        ("features:\n  a: {}\n  a: {}\n", ":3: not valid YAML ('a' is given twice"),
        ("user: [\n", ":2: not valid YAML ("),
        ("user: \x00", ":1: not valid YAML (a control character)"),
        ("", ": version: missing; add it"),
        ("- user\n", ": expected `key: value` lines, found list"),
    ],
)
def test_no_yaml(tmp_path: Path, text: str, message: str) -> None:
    assert problem(tmp_path, text).startswith(message)


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none.yaml: cannot be read \(No such file"):
        load_schema(tmp_path / "none.yaml")


def test_the_file_should_be_called_like_a_data_set(tmp_path: Path) -> None:
    found = problem(tmp_path, yaml.safe_dump(SMALL), "my shop.yaml")
    assert found.startswith(": name: 'my shop' is invalid; use")
