"""YAML of a friend, of a beginner, and of an attacker."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from metaselector.common.errors import ConfigError, UserError
from metaselector.common.yaml_file import MOST_BYTES, SHOWN, line_of, read_mapping, read_yaml
from metaselector.config import Config, load_config
from metaselector.data.own.log_schema import load_schema
from metaselector.runs.tuning.search_space import load_space

BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]\n" for i in range(1, 9)
)
CHAIN = "a0: &a0 [x]\n" + "".join(f"a{i}: &a{i} [*a{i - 1}]\n" for i in range(1, 200))
MERGES = "a0: &a0 {x: 1}\n" + "".join(
    f"a{i}: &a{i} {{<<: [{', '.join([f'*a{i - 1}'] * 10)}]}}\n" for i in range(1, 9)
)

REFUSED = {
    "a: 1\nb: 2026-13-45": ":2: not valid YAML ('2026-13-45' is not a valid timestamp)",
    "a: !!timestamp x": ":1: not valid YAML ('x' is not a valid timestamp)",
    "a: !!int abc": ":1: not valid YAML ('abc' is not a valid int)",
    "a: !!int ''": ":1: not valid YAML ('' is not a valid int)",
    "a: !!float ''": ":1: not valid YAML ('' is not a valid float)",
    "a: !!bool maybe": ":1: not valid YAML ('maybe' is not a valid bool)",
    "a: !!binary a": ":1: not valid YAML (failed to decode base64 data",
    "!!map [1, 2]": ":1: not valid YAML (expected a mapping node",
    "a: !!set [x]": ":1: not valid YAML (bytes and sets are not allowed in settings)",
    "a: !!binary aGk=": ":1: not valid YAML (bytes and sets are not allowed in settings)",
    "? !!set {x}\n: 1": ":1: not valid YAML (",
    "a: !!omap 5": ":1: not valid YAML (expected a sequence",
    "a: !!python/object/apply:os.system [ls]": ":1: not valid YAML (could not determine a constr",
    "a: !own b": ":1: not valid YAML (could not determine a constructor",
    "a: " + "9" * 6000: ":1: not valid YAML ('999999",
    "a: 0x" + "f" * 1000: ":1: not valid YAML (a whole number of more than 100 digits)",
    "a: -1" + ":1" * 5000: ":1: not valid YAML (a whole number of more than 100 digits)",
    "a: " + "[" * 1000 + "]" * 1000: ":1: not valid YAML (more than 100 levels",
    "[" * 900_000: ":1: not valid YAML (more than 100 levels",
    "a: " + "{b: " * 1000: ":1: not valid YAML (more than 100 levels",
    "- " * 400_000: ":1: not valid YAML (more than 100 levels",
    BOMB: ":5: not valid YAML (more than 50,000 values once aliases are expanded)",
    MERGES: ":6: not valid YAML (more than 50,000 values",
    CHAIN: ":99: not valid YAML (more than 100 levels",
    "k: 1\n" * 200_000: ":25000: not valid YAML (more than 50,000 values",
    "a: &a [*a]": ":1: not valid YAML (*a refers to itself)",
    "b: &a {c: [*a]}": ":1: not valid YAML (*a refers to itself)",
    "a: *b": ":1: not valid YAML (found undefined alias",
    "? [a]\n: 1": ":1: not valid YAML (a key must be a word or a number)",
    "b:\n  ? {a: 1}\n  : 1": ":2: not valid YAML (a key must be a word or a number)",
    "b:\n- a: 1\n  'a': 2": ":3: not valid YAML ('a' is given twice; remove one",
    "1: a\n0x1: b": ":2: not valid YAML ('0x1' is given twice",
    "1: a\ntrue: b": ":2: not valid YAML ('true' is given twice",
    "a: 1\nb: \x01": ":2: not valid YAML (a control character)",
    "a: 1\n\nb: \0": ":3: not valid YAML (a control character)",
    "a: &a {x: 1}\nb: {<<: 5}": ":2: not valid YAML (expected a mapping or list of mappings",
    "a: 1\n---\nb: 2": ":2: not valid YAML (expected a single document in the stream, but found",
    "a:\n\tb: 1": ":2: not valid YAML (found character that cannot start any token)",
    "x" * 100_000 + ": 1": ":1: not valid YAML (mapping values are not allowed",
    "#" * (MOST_BYTES + 1): ": larger than 1,000,000 bytes",
    "[a, b]": ": expected `key: value` lines, found list",
}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "file.yaml"


@pytest.mark.parametrize("text", REFUSED, ids=lambda text: text[:30])
def test_what_is_refused_is_one_line_at_once(file: Path, text: str) -> None:
    file.write_text(text)
    started = time.process_time()
    with pytest.raises(ConfigError) as raised:
        read_mapping(file)
    assert time.process_time() - started < 3  # a third of it, on a busy machine
    message = str(raised.value)
    assert message.startswith(f"{file}{REFUSED[text]}")
    assert message.isprintable()
    assert len(message) < len(str(file)) + SHOWN + 100


@pytest.mark.parametrize(
    ("content", "line"), [(b"a: \xff", 1), (b"a: 1\nb: \xe4", 2), ("a: 1".encode("utf-16"), 1)]
)
def test_what_is_not_utf_8(file: Path, content: bytes, line: int) -> None:
    file.write_bytes(content)
    with pytest.raises(ConfigError, match=rf":{line}: not valid YAML \(it is not UTF-8\)"):
        read_mapping(file)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("", {}),
        ("~", {}),
        ("\ufeffa: 1", {"a": 1}),
        ("a: " + "[" * 97 + "]" * 97, None),
        ("a: &a [1]\nb: *a\nc: [*a, *a]", {"a": [1], "b": [1], "c": [[1], [1]]}),
        ("a: &a {x: 1, y: 2}\nb: {<<: *a, x: 3}", {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 2}}),
        # A mapping that is merged before its own turn comes.
        ("b: &b {k: 1}\nx: {i: &a {<<: *b, k: 2}}\ny: {<<: *a}", None),
        ("a: {model: mine.py:Mine, url: http://x/y}", None),
        ("a: 9223372036854775807\nb: 08\nc: 1_000", None),
    ],
)
def test_what_is_allowed(file: Path, text: str, value: object) -> None:
    file.write_text(text, encoding="utf-8")
    expected = yaml.safe_load(text.removeprefix("\ufeff")) if value is None else value
    assert read_mapping(file) == expected


def test_where_a_key_stands(file: Path) -> None:
    file.write_text("a: 1\nb:\n  c:\n    - 1\n    - {d: 2,\n       e: 3}\n")
    assert line_of(file, ["b", "c", 1, "e"]) == 6
    assert line_of(file, ["b", "c", 1, "unknown"]) == 5
    assert line_of(file, ["a"]) == 1
    assert line_of(file, ["z"]) is None


def test_a_setting_that_is_refused_is_found_in_its_file(file: Path) -> None:
    file.write_text("threads: 1\nadapt:\n  steps: -3\n")
    with pytest.raises(ConfigError, match=rf"^{file}:3: adapt\.steps: .*\(got -3\)$"):
        load_config(file)
    with pytest.raises(ConfigError, match=r"^adapt\.steps: .*\(got -2\)$"):
        load_config(file, ["adapt.steps=-2"])
    file.write_text("adapt: {stepz: 1}")
    with pytest.raises(
        ConfigError, match=r":1: adapt\.stepz: unknown setting; did you mean 'steps'"
    ):
        load_config(file)


@pytest.mark.parametrize(
    "override",
    [
        "adapt=&a [*a]",
        f"adapt.steps={'[' * 1000}",
        "adapt.steps=2026-13-45",
        "adapt.steps=!!int x",
        "adapt.steps=" + "9" * 6000,
        "a." * 50_000 + "b=1",
        "x" * 900 + "=1",
        "adapt.steps=\udce4",
    ],
    ids=lambda text: text[:20],
)
def test_overrides_have_the_same_bounds(override: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load_config(overrides=[override])
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 2000


ATOMS = (
    "~", "1", "-1", "1.5", ".nan", ".inf", "yes", "x", "''", "2026-13-45", "&a", "*a", "&a x",
    "!!int x", "!!set {x}", "lr", "user", "adapt", "1e4", "0x" + "f" * 30, '"', "\t",
)  # fmt: skip
TEXT = st.recursive(
    st.one_of(
        st.sampled_from(ATOMS),
        st.text(max_size=5),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda values: f"[{', '.join(values)}]"),
        st.lists(st.tuples(st.sampled_from([*Config.model_fields, "user", "<<", "? x"]), inner))
        .map(lambda pairs: ", ".join(f"{key}: {value}" for key, value in pairs))
        .map(lambda text: f"{{{text}}}"),
    ),
    max_leaves=8,
)
KEYS = st.sampled_from(
    [*Config.model_fields, "base_models.lr.options", "adapt.steps", "selector.inputs", "user", "1"]
)


@settings(deadline=None, max_examples=50)
@given(st.lists(st.tuples(KEYS, TEXT), max_size=4))
def test_nothing_but_success_or_a_users_mistake(
    tmp_path_factory: pytest.TempPathFactory, lines: list[tuple[str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "random.yaml"
    text = "\n".join(f"{key}: {value}" for key, value in lines)
    file.write_text(text, encoding="utf-8", errors="replace")
    for read in (load_config, load_schema, lambda path: load_space(path).probes(Config())):
        with suppress(UserError):
            read(file)
    for key, value in lines:
        with suppress(UserError):
            load_config(overrides=[f"{key}={value}"])


def test_where_a_text_has_no_lines() -> None:
    with pytest.raises(ConfigError, match=r"^--set a: not valid YAML"):
        read_yaml("[", "--set a", lines=False)
