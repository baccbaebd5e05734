"""Schemas of lists: short forms, and combinations that are refused."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from metaselector.common.errors import ConfigError
from metaselector.data.interactions import Feature
from metaselector.data.own.log_schema import load_schema

from .shown import SCHEMA


def changed(tmp_path: Path, change: dict[str, object]) -> Path:
    schema = {**yaml.safe_load(SCHEMA), **change}
    path = tmp_path / "log.yaml"
    path.write_text(yaml.safe_dump({key: v for key, v in schema.items() if v is not None}))
    return path


def test_a_column_may_be_given_alone(tmp_path: Path) -> None:
    path = changed(tmp_path, {"list": "search", "labels": {"bought": {"column": "bought"}}})
    schema = load_schema(path)
    assert schema.list is not None
    assert (schema.list.column, schema.list.explode) == ("search", ())
    assert schema.named["list.column"] == "search"


def test_a_position_is_a_feature_that_may_be_unknown(tmp_path: Path) -> None:
    given = {**yaml.safe_load(SCHEMA)["list"], "position": {"at_prediction": "unknown"}}
    schema = load_schema(changed(tmp_path, {"list": given}))
    assert schema.as_features()[-1] == Feature("position", unknown_at_prediction=True)
    assert "list.position.column" not in schema.named


LIST = yaml.safe_load(SCHEMA)["list"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"negatives": {"per_positive": 2}}, "negatives: a list has its own, the rows that were"),
        ({"labels": {"l": {"column": "l"}}}, r"labels: list\.chosen is the label; remove one"),
        ({"list": {}}, "list: give either column or explode, found neither"),
        ({"list": {**LIST, "column": "s"}}, "list: give either column or explode, found both"),
        ({"list": {**LIST, "explode": ["prices"]}}, r"list\.explode: add 'shown', the column of"),
        ({"list": {**LIST, "explode": ["shown", "time"]}}, r"column 'time' is the time\.column"),
        ({"list": {**LIST, "explode": ["shown", "shown"]}}, "explode: a column is given twice"),
        ({"list": {"column": "s", "chosen": "c"}}, "chosen has no effect without explode"),
        ({"list": {"column": "s", "position": {}}}, "position: give its column"),
        ({"list": {**LIST, "position": {"name": "price"}}}, r"features\.price: 'price' is the pos"),
        ({"list": {**LIST, "position": {"name": "user"}}}, r"position\.name: 'user' is reserved"),
        ({"list": {**LIST, "chosed": 1}}, "unknown key 'chosed'; .*'chosen'"),
        ({"features": {"c": {"column": "clicked"}}}, r"features\.c: column 'clicked' describes"),
        ({"list": {"explode": ["shown"]}}, "labels: give either labels or negatives, found neit"),
        ({"where": {"action": 3}}, r"where\.action: should be text"),
    ],
)
def test_combinations_that_are_refused(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        load_schema(changed(tmp_path, change))
