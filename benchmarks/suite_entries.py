"""The tables of the suite: data sets, protocols, settings and seeds."""

from __future__ import annotations

from typing import Literal, NamedTuple


class Entry(NamedTuple):
    """A table of the suite.

    Attributes:
        dataset: its name in the table's; a data set that is known by name, or else the
            configuration names a schema.
        protocol: warm (known users by their own order), global (one date) or cold (new users).
        config: file in ``configs/``.
        seeds: how many.
        file: its file in the folder of data; "" if it is always fetched.
    """

    dataset: str
    protocol: Literal["warm", "global", "cold"]
    config: str
    seeds: int
    file: str

    @property
    def name(self) -> str:
        """The table's folder."""
        return f"{self.dataset}-{self.protocol}"


TITLES = {
    "movielens-100k": "MovieLens-100K",
    "movietweetings": "MovieTweetings",
    "amazon-musical-instruments": "Amazon Musical Instruments",
}
"""What pages call a data set; others have their own name, or that of a copy."""

_ML1M, _TWEETS = "ml-1m-reconstructed.zip", "movietweetings-142k.zip"
_TRIVAGO, _MUSIC = "trivago-val-100k.parquet", "reviews_Musical_Instruments_5.json.gz"

ENTRIES = (
    Entry("movielens-100k", "warm", "tables.yaml", 5, ""),
    Entry("movielens-100k", "global", "tables.yaml", 5, ""),
    Entry("movielens-100k", "cold", "cold.yaml", 5, ""),
    # Not global: most times of the reconstructed copy are interpolated.
    Entry("movielens-1m", "warm", "movielens-1m.yaml", 3, _ML1M),
    Entry("movielens-1m", "cold", "movielens-1m.yaml", 3, _ML1M),
    Entry("movietweetings", "warm", "tables.yaml", 5, _TWEETS),
    Entry("movietweetings", "global", "movietweetings-global.yaml", 5, _TWEETS),
    Entry("movietweetings", "cold", "tables.yaml", 5, _TWEETS),
    Entry("trivago", "warm", "trivago.yaml", 5, _TRIVAGO),
    # Three seeds, since the search of its rival takes half an hour a seed.
    Entry("trivago", "global", "trivago.yaml", 3, _TRIVAGO),
    Entry("trivago", "cold", "trivago.yaml", 5, _TRIVAGO),
    Entry("amazon-musical-instruments", "warm", "amazon-musical-instruments.yaml", 5, _MUSIC),
    Entry("amazon-musical-instruments", "global", "amazon-musical-instruments.yaml", 5, _MUSIC),
    Entry("amazon-musical-instruments", "cold", "amazon-musical-instruments-cold.yaml", 5, _MUSIC),
)
