"""MovieLens-100K as `make reproduce` encodes it."""

from __future__ import annotations

import tempfile
from pathlib import Path

from metaselector.config import Config
from metaselector.data.encoded.dataset import EncodedDataset
from metaselector.data.fetch import fetch
from metaselector.runs.stages.prepare import prepare


def files(own: Path | None, data_directory: Path = Path("data")) -> Path:
    """Path of the raw files: `own`, or the files fetched into `data_directory`."""
    return fetch(Config().dataset, data_directory) if own is None else own


def load(source: Path | None, data_directory: Path = Path("data")) -> EncodedDataset:
    """Prepare the data set in a temporary directory and open it.

    Args:
        source: your own copy of the raw files; by default they are fetched into `data_directory`.
    """
    config = Config()
    source = files(source, data_directory)
    with tempfile.TemporaryDirectory() as directory:
        prepare(config, source, Path(directory) / "prepared")
        return EncodedDataset.load(Path(directory) / "prepared")  # mapped files stay readable
