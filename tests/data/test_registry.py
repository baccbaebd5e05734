"""Named data sets, read from the files that are present."""

from __future__ import annotations

import gc
import tempfile
import zipfile
from pathlib import Path

import pandas as pd
import pytest

from metaselector.common.errors import ConfigError, DataError
from metaselector.data.public.movielens import GENRES_100K
from metaselector.data.public.official import OfficialFolder
from metaselector.data.registry import DATASETS, read

_INTER = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n"
_FLAGS = "|".join("0" * len(GENRES_100K))
FILES = {
    ("movielens-100k", "official"): {
        "u.data": "1\t10\t3\t7\n",
        "u.user": "1|24|M|technician|85711\n",
        "u.item": f"10|Kolya (1996)|24-Jan-1997||url|{_FLAGS}\n",
    },
    ("movielens-100k", "atomic"): {"ml-100k.inter": _INTER + "1\t10\t3\t7\n"},
    ("movielens-1m", "official"): {
        "ratings.dat": "1::10::3::7\n",
        "users.dat": "1::F::1::10::48067\n",
        "movies.dat": "10::Kolya (1996)::Comedy\n",
    },
    ("movielens-1m", "atomic"): {"ml-1m.inter": _INTER + "1\t10\t3\t7\n"},
    ("movielens-10m", "official"): {
        "ratings.dat": "1::10::3::7\n",
        "movies.dat": "10::Kolya (1996)::Comedy\n",
    },
    ("movielens-10m", "atomic"): {"ml-10m.inter": _INTER + "1\t10\t3\t7\n"},
    ("movietweetings", "official"): {
        "ratings.dat": "1::10::3::7\n",
        "movies.dat": "10::Kolya (1996)::Comedy\n",
    },
    **{
        (f"movielens-{size}", "official"): {
            "ratings.csv": "userId,movieId,rating,timestamp\n1,10,3.0,7\n",
            "movies.csv": "movieId,title,genres\n10,Kolya (1996),Comedy\n",
        }
        for size in ("20m", "25m", "32m")
    },
}


def _bring(folder: Path, files: dict[str, str], shape: str, inner: str) -> Path:
    """The files as a folder, in their official folder, or zipped either way."""
    prefix = f"{inner}/" if "inner" in shape else ""
    if "zip" in shape:
        with zipfile.ZipFile(folder / "data.zip", "w") as archive:
            for name, text in files.items():
                archive.writestr(prefix + name, text)
        return folder / "data.zip"
    (folder / prefix).mkdir(exist_ok=True)
    for name, text in files.items():
        (folder / prefix / name).write_text(text)
    return folder


@pytest.mark.parametrize("shape", ["folder", "inner folder", "zip", "inner zip"])
@pytest.mark.parametrize(("name", "kind"), FILES)
def test_reads_what_is_there(tmp_path: Path, name: str, kind: str, shape: str) -> None:
    files, source = FILES[name, kind], DATASETS[name]
    assert isinstance(source, OfficialFolder)
    inner = source.folder
    path = _bring(tmp_path, files, shape, inner)
    table = read(name, path)
    assert table.name == name
    assert table.source == path / (inner if "inner" in shape else "") / next(iter(files))
    pd.testing.assert_frame_equal(
        table.interactions.drop(columns="line"),
        pd.DataFrame({"user": ["1"], "item": ["10"], "rating": [3.0], "timestamp": [7]}),
    )


def test_errors_inside_a_zip_file_name_the_zip_file(tmp_path: Path) -> None:
    files = {**FILES["movielens-1m", "official"], "ratings.dat": "1::10::3::7\n1::10::x::7\n"}
    path = _bring(tmp_path, files, "inner zip", "ml-1m")
    table = read("movielens-1m", path)
    with pytest.raises(DataError) as error:
        list(table.read())
    expected = f"{path}/ml-1m/ratings.dat:2 (column rating): 'x' is not a finite number"
    assert str(error.value).startswith(expected)
    path = _bring(tmp_path, {**files, "users.dat": "1::F\n"}, "inner zip", "ml-1m")
    with pytest.raises(DataError) as error:
        read("movielens-1m", path)
    assert str(error.value).startswith(f"{path}/ml-1m/users.dat:1 (column age): ")


def test_a_zip_file_is_unpacked_for_as_long_as_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = _bring(tmp_path, FILES["movielens-1m", "official"], "zip", "")
    place = tmp_path / "temporary"
    place.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(place))
    table = read("movielens-1m", path)
    for _ in range(2):
        assert [len(block.lines) for block in table.read()] == [1]
    blocks = table.read()
    del table
    assert len(next(blocks).lines) == 1
    assert len(list(place.iterdir())) == 1
    del blocks
    assert list(place.iterdir()) == []
    path.write_text("text")
    with pytest.raises(DataError, match="not a zip file"):
        read("movielens-1m", path)
    gc.collect()  # the error's traceback held it
    assert list(place.iterdir()) == []


@pytest.mark.parametrize("shape", ["folder", "zip"])
def test_neither_format(tmp_path: Path, shape: str) -> None:
    path = _bring(tmp_path, {"README": "?"}, shape, "")
    with pytest.raises(DataError) as error:
        read("movielens-100k", path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "u.data, u.user, u.item (official files) or ml-100k.inter" in message


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"file or directory not found; expected ratings.dat"):
        read("movielens-1m", tmp_path / "absent")
    (tmp_path / "file").write_text("text")
    with pytest.raises(DataError, match="not a zip file"):
        read("movielens-1m", tmp_path / "file")


def test_unknown_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="'movielens-10k'; did you mean 'movielens-100k'"):
        read("movielens-10k", tmp_path)
