"""Every example in a docstring and on a page runs, if it shows what it prints."""

from __future__ import annotations

import doctest
import importlib
import inspect
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from metaselector.common.errors import UnknownWarning

from .conftest import DOCS, ROOT

REFERENCE = sorted((DOCS / "reference" / "api").glob("*.md"))
PAGES = [path for path in sorted(DOCS.rglob("*.md")) if "_build" not in path.parts]
SHOWN_BY_OTHERS = {
    "Resampled",
    "Interval",
    "AdaptedUser",
    "AdaptedUsers",
    "CheckpointError",
    "Comparison",
    "ConfigError",
    "DataError",
    "Difference",
    "Diverged",
    "Effect",
    "EpisodeRows",
    "Episodes",
    "EvaluationSplit",
    "Explanation",
    "Explorer",
    "FittedEstimator",
    "FuncEngine",
    "InnerLoop",
    "Kept",
    "LogSchema",
    "MetaLearner",
    "MetaParameters",
    "MixtureOutput",
    "PlantedWorld",
    "Plugin",
    "Pretrained",
    "Step",
    "ModelCard",
    "TrainedModel",
    "UserPredictions",
    "WindowPredictions",
    "keep",
    "load_predictions",
    "register_storage",
    "score_of",
}
"""Errors, what functions return, and opposites: the examples of others show them."""


def modules() -> list[str]:
    """Those whose docstrings hold examples."""
    paths = [*ROOT.glob("metaselector/**/*.py"), *ROOT.glob("base_models/*.py")]
    found = [path for path in sorted(paths) if ">>>" in path.read_text(encoding="utf-8")]
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in found)
    return [name.removesuffix(".__init__") for name in names]


def blocks(page: Path) -> str:
    """The examples of a page, one after the other."""
    found = re.findall(r"```python\n(>>>.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    return "\n".join(found)


def check(test: doctest.DocTest) -> None:
    said: list[str] = []
    result = doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    assert not result.failed, "".join(said)


@pytest.mark.parametrize("name", modules())
def test_docstrings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    for test in doctest.DocTestFinder().find(importlib.import_module(name), name):
        check(test)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p)], ids=lambda page: page.stem)
def test_pages(page: Path) -> None:
    warnings.simplefilter("ignore", UnknownWarning)  # new users are the subject of a page
    check(doctest.DocTestParser().get_doctest(blocks(page), {}, page.stem, str(page), 0))


def listed() -> Iterator[tuple[Path, str, Any]]:
    """What the reference lists: page, name and thing."""
    for page in REFERENCE:
        text = page.read_text(encoding="utf-8")
        for module, members in re.findall(
            r"automodule:: (metaselector\S*)\n   :members:(.*)\n", text
        ):
            found = vars(importlib.import_module(module))
            own = [
                name
                for name, thing in found.items()
                if getattr(thing, "__module__", None) == module
                and (inspect.isclass(thing) or inspect.isfunction(thing))
                and not name.startswith("_")
            ]
            for name in members.replace(",", " ").split() or own:
                yield page, name, found[name]
        for target in re.findall(r"autoclass:: (\S+)", text):
            module, _, name = target.rpartition(".")
            yield page, name, getattr(importlib.import_module(module), name)


LISTED = list(listed())


@pytest.mark.parametrize(("page", "name", "thing"), LISTED, ids=[name for _, name, _ in LISTED])
def test_the_reference_explains_what_it_lists(page: Path, name: str, thing: Any) -> None:
    text = inspect.getdoc(thing) or ""
    assert re.match(r"[`:A-Z].*?[.:]($|\s)", text, re.DOTALL), "begin with a sentence"
    contract = getattr(thing, "_is_protocol", False) or inspect.isabstract(thing)
    shown = ">>>" in text or name in SHOWN_BY_OTHERS
    assert contract or shown or re.search(rf"\b{name}\b", blocks(page)), "add an example"


def test_no_exception_is_outdated() -> None:
    assert {name for _, name, _ in LISTED} >= SHOWN_BY_OTHERS
