"""What all tests share: a quiet machine, and a small random world as raw files."""

from __future__ import annotations

import gc
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, settings
from threadpoolctl import threadpool_limits

from metaselector.common.errors import UserError
from metaselector.data.fetch import fetch
from metaselector.meta import finetune_settings
from tests.few_choices import sitecustomize

USERS, ROWS, ITEMS = 40, 30, 25
GENRES = ("Comedy", "Drama", "War")

BROWSERS = ("chromium", "chromium-browser", "google-chrome")

WriteWorld = Callable[..., Path]

# The same examples everywhere and always; `python -m benchmarks.fuzz` looks further. A busy machine
# is slow: no example has a deadline, and none is too slow to draw.
settings.register_profile(
    "suite",
    deadline=None,
    derandomize=True,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("suite")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests first: at the end, one process would work and the others wait."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Several threads are slower than one on tiny arrays, much slower where cores are shared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch, threadpool_limits(1):
        for library in ("OMP", "OPENBLAS", "MKL"):  # of processes that tests start
            if f"{library}_NUM_THREADS" not in os.environ:
                patch.setenv(f"{library}_NUM_THREADS", "1")
        yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session", autouse=True)
def few_choices() -> Iterator[None]:
    """Whole runs choose the fair rival's settings among few, in processes that tests start, too."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(finetune_settings, "LADDERS", sitecustomize.few_choices(finetune_settings))
        folder = str(Path(sitecustomize.__file__).parent)
        patch.setenv("PYTHONPATH", folder, prepend=os.pathsep)
        patch.syspath_prepend(folder)  # some hand that on in place of PYTHONPATH
        yield


@pytest.fixture
def global_state() -> Iterator[None]:
    """Asserts that the test's subject leaves the global random generators where they were."""
    torch_before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    yield
    assert torch.equal(torch.get_rng_state(), torch_before)
    assert np.array_equal(np.random.get_state()[1], numpy_before)  # noqa: NPY002


@pytest.fixture
def no_collector() -> Iterator[None]:
    """What dies in this test does so without the garbage collector."""
    gc.disable()
    yield
    gc.enable()


@pytest.fixture(scope="session")
def write_world() -> WriteWorld:
    return _write_world


def _write_world(directory: Path, flip: Callable[[np.ndarray], np.ndarray] | None = None) -> Path:
    """Write 40 users x 30 rows as the atomic files of MovieLens-100K.

    Args:
        directory: where to; made if need be.
        flip: changes the ratings, float ``[users, rows]``, a user's rows in their order of time.
    """
    generator = np.random.default_rng(0)
    items = generator.integers(ITEMS, size=(USERS, ROWS))
    ratings = generator.integers(1, 6, size=(USERS, ROWS)).astype(np.float64)
    if flip is not None:
        ratings = flip(ratings)
    directory.mkdir(parents=True, exist_ok=True)
    interactions = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    interactions += [
        f"u{u}\ti{items[u, r]}\t{ratings[u, r]}\t{880_000_000 + 90_000 * r + u}"
        for r in range(ROWS)
        for u in range(USERS)
    ]
    users = ["user_id:token\tage:token\tgender:token\toccupation:token"]
    users += [f"u{u}\t{20 + u % 7}\t{'FM'[u % 2]}\twriter" for u in range(USERS)]
    films = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    films += [f"i{i}\tFilm {i}\t{1990 + i % 5}\t{GENRES[i % 3]}" for i in range(ITEMS)]
    for suffix, lines in (("inter", interactions), ("user", users), ("item", films)):
        (directory / f"ml-100k.{suffix}").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return directory


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real files that METASELECTOR_TEST_DATA names."""
    folder = os.environ.get("METASELECTOR_TEST_DATA")
    if not folder:
        if os.environ.get("CI"):
            pytest.fail("CI must set METASELECTOR_TEST_DATA")
        pytest.skip("needs real data: set METASELECTOR_TEST_DATA to the folder that holds them")
    return Path(folder)


@pytest.fixture(scope="module")  # a running loop would be in the way of other modules
def browser() -> Iterator[Any]:
    """Chromium, without a window."""
    found = os.environ.get("METASELECTOR_CHROMIUM") or next(
        filter(None, map(shutil.which, BROWSERS)), None
    )
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("CI must have a browser: make browser")
        pytest.skip(f"needs a browser, {' or '.join(BROWSERS)}: make browser")
    playwright = pytest.importorskip("playwright.sync_api")
    # As root, as in containers, Chromium has no sandbox; the page is our own file.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with playwright.sync_playwright() as started:
        opened = started.chromium.launch(executable_path=found, args=options)
        yield opened
        opened.close()


@pytest.fixture(scope="session")
def fetched() -> Callable[[str], Path]:
    """The folder of a public data set by name, fetched once into the repository's own folder."""

    def folder(name: str) -> Path:
        try:
            return fetch(name, Path(__file__).parents[1] / "data", progress=False)
        except UserError as error:
            if os.environ.get("CI"):
                raise
            pytest.skip(f"needs {name}: {error}")

    return folder
