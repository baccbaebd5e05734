"""The table of headroom, and the predictions of other systems as its input."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import ArrayLike

from metaselector.common.errors import DataError, UserError
from metaselector.data.raw.expansion import read_whole
from metaselector.evaluate.alignment import Aligned
from metaselector.evaluate.checks import checked_labels, checked_probabilities, checked_users
from metaselector.evaluate.headroom import headroom
from metaselector.evaluate.losses import row_logloss

COLUMNS = ("window", "seed", "figure", "models", "n", "value", "low", "high")
QUANTILES = (10, 25, 50, 75, 90)
Checked = TypeVar("Checked")
_SUFFIXES = (".csv", ".parquet")


def headroom_table(
    predictions: Aligned, window: str, generator: np.random.Generator, n_resamples: int
) -> pd.DataFrame:
    """Headroom in logloss as a table with the columns :data:`COLUMNS`.

    ``models`` is a list of names, joined by ``+``; ``n`` is empty but for ``evidence``, and
    ``seed`` is empty.

    Args:
        predictions: of the base models alone.
        window: name of the rows.
        generator, n_resamples: as in :func:`metaselector.evaluate.headroom.headroom`.

    Raises:
        UserError: as that function.

    Example:
        >>> p = {"lr": np.array([0.6, 0.4, 0.7]), "fm": np.array([0.9, 0.2, 0.4])}
        >>> aligned = Aligned(np.array(["ann", "ann", "bob"]), np.array([1.0, 0.0, 1.0]), p)
        >>> table = headroom_table(aligned, "test", np.random.default_rng(0), 10)
        >>> table.loc[0, ["window", "figure", "models"]].tolist()
        ['test', 'best-single', 'lr+fm']
    """
    probabilities = np.stack(list(predictions.p.values()), axis=1)  # [N, K]
    losses = row_logloss(predictions.y[:, None], probabilities)
    names = list(predictions.p)
    return pd.DataFrame(
        [
            (
                window,
                None,
                figure.name,
                "+".join(names[model] for model in figure.models),
                figure.n,
                figure.value,
                figure.low,
                figure.high,
            )
            for figure in headroom(losses, predictions.users, generator, n_resamples=n_resamples)
        ],
        columns=list(COLUMNS),
    ).astype({"n": "Int64", "seed": "Int64"})


def over_seeds(tables: Mapping[int, pd.DataFrame]) -> pd.DataFrame:
    """The tables of each seed, with ``seed``, after their mean, whose ``seed`` is empty.

    The interval of a mean has the mean ends of the seeds' intervals. Seeds share their users, so
    their errors have much in common, and the interval is rather too wide than too narrow. A mean
    has no p-value. A single table has no mean.

    Args:
        tables: by seed, of the same models and window.

    Example:
        >>> p = {"lr": np.array([0.6, 0.4, 0.7]), "fm": np.array([0.9, 0.2, 0.4])}
        >>> aligned = Aligned(np.array(["ann", "ann", "bob"]), np.array([1.0, 0.0, 1.0]), p)
        >>> one = headroom_table(aligned, "test", np.random.default_rng(0), 10)
        >>> over_seeds({0: one, 1: one})["seed"].unique().tolist()
        [<NA>, 0, 1]
    """
    of_seeds = [table.assign(seed=seed).astype({"seed": "Int64"}) for seed, table in tables.items()]
    if len(tables) == 1:
        return of_seeds[0]
    mean = next(iter(tables.values())).copy()
    for name in ("value", "low", "high"):
        mean[name] = np.mean([table[name].to_numpy() for table in tables.values()], axis=0)
    mean.loc[mean["figure"] == "chance-p", "value"] = np.nan
    return pd.concat([mean, *of_seeds], ignore_index=True)


def support_quantiles(sizes: ArrayLike, window: str, models: str) -> pd.DataFrame:
    """Quantiles of users' support sizes ``[U]`` as rows ``support-size-10%`` … of the table."""
    values = np.percentile(np.asarray(sizes), QUANTILES, method="inverted_cdf")
    return pd.DataFrame(
        {
            "window": window,
            "seed": pd.array([pd.NA] * len(QUANTILES), dtype="Int64"),
            "figure": [f"support-size-{q}%" for q in QUANTILES],
            "models": models,
            "n": pd.array([pd.NA] * len(QUANTILES), dtype="Int64"),
            "value": values.astype(np.float64),
            "low": np.nan,
            "high": np.nan,
        }
    )


def read_wide(path: Path) -> Aligned:
    """Read the predictions of any system: one row per prediction, one column per model.

    Args:
        path: ``.csv`` or ``.parquet`` with the columns ``user`` and ``label`` (0 or 1); each other
            column has a model's probability of label 1.

    Raises:
        DataError: the file is missing or damaged, a column is missing, there is no model, or a
            user, label or probability is invalid.
        UserError: the file has another suffix.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "theirs.csv")
        ...     _ = path.write_text("user,label,lr,fm\\nann,1,0.6,0.9\\nbob,0,0.4,0.2\\n")
        ...     read_wide(path).of("fm").tolist()
        [0.9, 0.2]
    """
    if path.suffix.lower() not in _SUFFIXES:
        raise UserError(f"{path}: choose a file that ends in {' or '.join(_SUFFIXES)}")
    try:
        if path.suffix.lower() == ".parquet":
            frame = read_whole(path).to_pandas()
        else:
            # A user may be named NA.
            frame = pd.read_csv(path, dtype={"user": "str"}, keep_default_na=False, na_values=[""])
    except FileNotFoundError as error:
        raise DataError(path, "file not found") from error
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = str(error).strip().splitlines()[0]
        raise DataError(path, f"cannot be read ({reason})") from error
    for name in ("user", "label"):
        if name not in frame:
            raise DataError(path, "column is missing", column=name)
    models = [str(name) for name in frame if name not in ("user", "label")]
    if not models:
        raise DataError(path, "has no column of probabilities besides user and label")
    if frame.empty:
        raise DataError(path, "has no rows")
    _checked(path, frame, "user", checked_users)
    y = _checked(path, frame, "label", checked_labels)
    p = {name: _checked(path, frame, name, checked_probabilities) for name in models}
    return Aligned(frame["user"].to_numpy(dtype=object), y, p)


def _checked(
    path: Path, frame: pd.DataFrame, name: str, check: Callable[[pd.Series], Checked]
) -> Checked:
    try:
        return check(frame[name])
    except UserError as error:
        raise DataError(path, str(error), column=name) from error
