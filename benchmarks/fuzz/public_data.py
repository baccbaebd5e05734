"""Public data sets as users may have them: cut, edited, or from another release."""

from __future__ import annotations

import gzip
import io
import json
import zipfile
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.fuzz.mutations import mutated, word
from benchmarks.fuzz.target import Target
from metaselector.data.registry import read

_TIME = 880_000_000


def targets(world: Path) -> list[Target]:
    return [
        *(Target(name, partial(_folder, FILES[name]), partial(_read, name), 5) for name in FILES),
        Target("movielens-100k-zip", _zip, partial(_read_file, "movielens-100k", "ml-100k.zip"), 5),
        Target("amazon", _amazon, partial(_read, "amazon"), 12),
        Target("census-income", _census, partial(_read, "census-income"), 5),
    ]


def _read(name: str, path: Path) -> None:
    table = read(name, path)
    rows = table.interactions
    assert len(rows)
    if not table.tabular:
        assert table.items is not None


def _read_file(name: str, file: str, folder: Path) -> None:
    _read(name, folder / file)


def _ratings(separator: str, rows: int = 12) -> str:
    lines = ([str(r % 3 + 1), str(r % 4 + 1), str(r % 5 + 1), str(_TIME + r)] for r in range(rows))
    return "\n".join(map(separator.join, lines)) + "\n"


_FLAGS = "|".join("0" if flag else "1" for flag in range(19))
_FILMS = "".join(f"{i}::Film {i} (199{i})::Drama|War\n" for i in range(1, 5))
_ATOMIC = ("user_id:token", "item_id:token", "rating:float", "timestamp:float")

FILES: Mapping[str, Mapping[str, str]] = {
    "movielens-100k": {
        "u.data": _ratings("\t"),
        "u.user": "1|24|M|writer|85711\n2|53|F|other|94043\n3|23|M|writer|32067\n",
        "u.item": "".join(f"{i}|Film {i} (1995)|01-Jan-1995||url|{_FLAGS}\n" for i in range(1, 5)),
    },
    "movielens-100k-funnel": {  # in RecBole's format
        "ml-100k.inter": "\t".join(_ATOMIC) + "\n" + _ratings("\t"),
        "ml-100k.user": "user_id:token\tage:token\tgender:token\n1\t24\tM\n2\t53\tF\n3\t23\tM\n",
        "ml-100k.item": "item_id:token\tmovie_title:token_seq\t"
        "release_year:token\tclass:token_seq\n"
        + "".join(f"{i}\tFilm {i}\t1995\tDrama War\n" for i in range(1, 5)),
    },
    "movielens-1m": {
        "ratings.dat": _ratings("::"),
        "users.dat": "1::F::1::10::48067\n2::M::56::16::70072\n3::M::25::15::55117\n",
        "movies.dat": _FILMS,
    },
    "movielens-10m": {"ratings.dat": _ratings("::"), "movies.dat": _FILMS},
    "movielens-25m": {
        "ratings.csv": "userId,movieId,rating,timestamp\n" + _ratings(","),
        "movies.csv": "movieId,title,genres\n"
        + "".join(f'{i},"Film, The {i} (1995)",Drama|War\n' for i in range(1, 5)),
    },
}


def _folder(files: Mapping[str, str], random: Random, folder: Path) -> None:
    """Write the files with one of them changed or missing."""
    changed = random.choice(list(files))
    for name, text in files.items():
        data = text.encode()
        if name == changed:
            data = mutated(random, data)
            if random.random() < 0.05:
                continue
        (folder / name).write_bytes(data)


def _zip(random: Random, folder: Path) -> None:
    """Write the files in an archive that is damaged or hostile."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as z:
        for name, text in FILES["movielens-100k"].items():
            z.writestr(f"ml-100k/{name}", text)
        if random.random() < 0.5:
            z.writestr(_member(random), "x" * random.choice((0, 10, 10**6)))
    data = file.getvalue()
    (folder / "ml-100k.zip").write_bytes(
        mutated(random, data, 2) if random.random() < 0.7 else data
    )


def _member(random: Random) -> zipfile.ZipInfo:
    """An archive member that should not be there."""
    names = (
        "../x",
        "/tmp/x",
        "C:\\x",
        "a/../../x",
        "x" * 300,
        "ml-100k/u.data/x",
        "",
        word(random),
    )
    member = zipfile.ZipInfo(random.choice(names) or "x")
    if random.random() < 0.2:
        member.external_attr = 0o120777 << 16  # a link
    return member


_KEYS = {
    "2014": ("reviewerID", "asin", "overall", "unixReviewTime"),
    "2023": ("user_id", "parent_asin", "rating", "timestamp"),
}


def _reviews(random: Random) -> Iterable[dict[str, Any]]:
    release = random.choice(list(_KEYS))
    scale = 1000 if release == "2023" else 1
    for row in range(10):
        values = (f"U{row % 3}", f"I{row % 4}", row % 5 + 1, (1_400_000_000 + row) * scale)
        yield dict(zip(_KEYS[release], values, strict=True)) | {"reviewText": "fine"}


def _amazon(random: Random, folder: Path) -> None:
    reviews = [*_reviews(random)]
    if random.random() < 0.3:  # a value of another type
        random.choice(reviews)[random.choice([*reviews[0]])] = random.choice(
            (None, True, [1], {"a": 1}, 1e308, 10**400, "5", "", word(random), -0.0)
        )
    metadata = [
        {"asin": f"I{i}", "categories": [["A", "B"], ["C"]], "main_category": "A"} for i in range(4)
    ]
    which = random.random()
    for name, objects, chosen in (
        ("reviews_X_5.json", reviews, which < 0.7),
        ("meta_X.json", metadata, which > 0.5),
    ):
        # The metadata of 2014 consists of Python dictionaries.
        write: Callable[[Any], str] = (
            repr if name == "meta_X.json" and random.random() < 0.5 else json.dumps
        )
        data = ("\n".join(map(write, objects)) + "\n").encode()
        data = mutated(random, data) if chosen and random.random() < 0.6 else data
        if random.random() < 0.3:
            data, name = gzip.compress(data, mtime=0), f"{name}.gz"
            data = mutated(random, data, 1) if random.random() < 0.3 else data
        (folder / name).write_bytes(data)


_PERSON: Mapping[str, tuple[Any, ...]] = {
    "income": ("<=50K", ">50K"),
    "marital-status": ("Divorced", "Never-married"),
    "occupation": ("Sales", "?"),
    "education": ("Bachelors", "HS-grad"),
    "age": (38, 50),
    "workclass": ("Private", "?"),
    "race": ("White", "Black"),
    "gender": ("Male", "Female"),
    "native-country": ("United-States", "?"),
    "capital-gain": (0, 2174),
    "capital-loss": (0, 1902),
    "hours-per-week": (40, 13),
}


def _census(random: Random, folder: Path) -> None:
    columns = {name: [random.choice(values) for _ in range(12)] for name, values in _PERSON.items()}
    if random.random() < 0.5:
        name = random.choice(list(columns))
        columns[name] = [word(random), *map(str, columns[name][1:])]
    path = folder / "adult.parquet.brotli"
    pq.write_table(pa.table(columns), path, compression=random.choice(("brotli", "none")))
    if random.random() < 0.7:
        path.write_bytes(mutated(random, path.read_bytes(), 2))
