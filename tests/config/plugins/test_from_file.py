"""Classes loaded from Python files, and the errors on the way."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from torch import nn

from metaselector.common.errors import ConfigError
from metaselector.config.plugins.from_file import is_in_file, load_from_file

MODEL = """\
from __future__ import annotations
from dataclasses import dataclass
from torch import nn

SIZE = {size}

@dataclass
class Settings:
    size: int

class Mine(nn.Module):
    size = SIZE
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(MODEL.format(size=1))
    return path


def test_which_names_are_of_files() -> None:
    assert is_in_file("a/b.py:C")
    assert is_in_file("b.py")
    assert not is_in_file("deepfm")


def test_a_class_is_loaded_once(path: Path) -> None:
    first = load_from_file(f"{path}:Mine", nn.Module)
    assert first.size == 1
    assert load_from_file(f"{path}:Mine", nn.Module) is first
    assert vars(sys.modules[first.__module__])["Mine"] is first
    assert list(path.parent.iterdir()) == [path]  # no __pycache__


def test_an_edited_file_is_read_again(path: Path) -> None:
    assert load_from_file(f"{path}:Mine").size == 1
    path.write_text(MODEL.format(size=2))  # as long as before, within the clock's resolution
    assert load_from_file(f"{path}:Mine").size == 2


@pytest.mark.parametrize(
    ("text", "attribute", "problem"),
    [
        (MODEL, "Mne", "mine.py: no class 'Mne' in this file; did you mean 'Mine'"),
        ("x = 1\n", "Mine", "mine.py: no class 'Mine' in this file; it has no suitable class"),
        (MODEL, "Settings", "'Settings' is not a subclass of torch's Module"),
        (MODEL, "SIZE", "'SIZE' is not a subclass of torch's Module"),
        ("x = 1\nimport no_such\n", "Mine", r"mine.py:2: fails to load \(ModuleNotFoundError: No"),
        ("x = 1\n\nx = = 2\n", "Mine", r"mine.py:3: fails to load \(SyntaxError: invalid syntax"),
        ("def f():\n    1 / 0\n\nf()\n", "Mine", r"mine.py:2: fails to load \(ZeroDivisionError"),
    ],
)
def test_what_is_wrong_with_a_file(path: Path, text: str, attribute: str, problem: str) -> None:
    path.write_text(text.replace("{size}", "3"))
    for _ in range(2):  # a failed import leaves nothing behind
        with pytest.raises(ConfigError, match=problem):
            load_from_file(f"{path}:{attribute}", nn.Module)


@pytest.mark.parametrize("name", ["mine.py", "mine.py:", "mine.py:Mine:"])
def test_a_name_without_a_class(name: str) -> None:
    with pytest.raises(ConfigError, match=r"expected path/to/file\.py:Class"):
        load_from_file(name)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(
        ConfigError,
        match=r"no\.py: cannot read the file of Mine \(No such file.*paths",
    ):
        load_from_file(f"{tmp_path / 'no.py'}:Mine")
