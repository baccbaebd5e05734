"""Scores of scikit-learn's classifiers, or of any with their methods, such as LightGBM's."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.base import clone

from metaselector.data.protocol import WINDOWS
from metaselector.errors import ConfigError
from metaselector.evaluate.row_features import row_features
from metaselector.files import atomic_file
from metaselector.frozen import PLACE
from metaselector.run_directory import Run


class Classifier(Protocol):
    """What scikit-learn calls a classifier; a clone of it starts anew."""

    def fit(self, X: NDArray[np.float64], y: NDArray[np.float32]) -> Any: ...

    def predict_proba(self, X: NDArray[np.float64]) -> NDArray[np.float64]:
        """Probabilities ``[N, 2]`` of 0 and 1."""


def fit_scores(run: Run, classifier: Classifier, path: str) -> list[Path]:
    """Fit a clone of `classifier` on the rows of each window, and write its scores of all rows.

    It sees the table of :func:`~metaselector.evaluate.row_features.row_features`, nan where a
    number is missing, and is fitted on the rows that the base models of the window are, so that the
    files can stand as ``base_models.<name>.scores.file``.

    Args:
        run: a warm one of one task, whose data is prepared.
        path: of the Parquet files, with ``{window}`` in the name.

    Returns:
        The files.

    Raises:
        ConfigError: `path` has no ``{window}``; or the run is cold: a new user's rows are seen with
            less history in some tables than in others, which scores by row cannot tell.
    """
    if PLACE not in path or not path.endswith(".parquet"):
        raise ConfigError(f"{path}: must have {PLACE} in its name and end in .parquet")
    if run.config.protocol == "cold" or len(run.dataset.schema.tasks) > 1:
        raise ConfigError("scores are fitted for warm runs of one task only")
    dataset = run.dataset
    features = row_features(dataset, np.arange(len(dataset)), None).values
    files = []
    for window in WINDOWS:
        rows = run.protocol.fitting_rows(window)
        fitted = clone(classifier).fit(features[rows], dataset.labels[rows])
        table = pd.DataFrame(
            {
                "row": dataset.source_rows,
                "user": np.asarray(dataset.user_names, dtype=object)[dataset.users],
                "score": fitted.predict_proba(features)[:, 1],
            }
        )
        files.append(Path(path.replace(PLACE, window)))
        with atomic_file(files[-1]) as temporary:
            table.to_parquet(temporary, index=False)
    return files
