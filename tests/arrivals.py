"""A small random world whose users arrive over time, as raw files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

USERS, FIRST = 60, 880_000_000


def world() -> pd.DataFrame:
    """Users who arrive one after the other; a third of them stay. Rows come in pairs of a time."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(USERS):
        gap = 6.0 if user % 3 == 0 else 0.5
        items = rng.choice(25, size=16, replace=False)
        for place, item in enumerate(items):
            time = FIRST + round(86_400 * (2.4 * user + gap * (place // 2)))
            rows.append((f"u{user}", f"i{item}", float(rng.integers(1, 6)), time))
    table = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    return table.sort_values("time", kind="stable", ignore_index=True)


def write(directory: Path, table: pd.DataFrame) -> Path:
    """Write the atomic files of MovieLens-100K to a new directory."""
    directory.mkdir()
    lines = ["user_id:token\titem_id:token\trating:float\ttimestamp:float"]
    lines += ["\t".join(map(str, row)) for row in table.itertuples(index=False, name=None)]
    users = ["user_id:token\tage:token\tgender:token\toccupation:token"]
    users += [f"u{u}\t{20 + u % 7}\t{'FM'[u % 2]}\twriter" for u in range(USERS)]
    films = ["item_id:token\tmovie_title:token_seq\trelease_year:token\tclass:token_seq"]
    films += [f"i{i}\tFilm {i}\t{1990 + i % 5}\t{['War', 'Drama'][i % 2]}" for i in range(30)]
    for suffix, text in (("inter", lines), ("user", users), ("item", films)):
        (directory / f"ml-100k.{suffix}").write_text("\n".join(text) + "\n", encoding="utf-8")
    return directory
