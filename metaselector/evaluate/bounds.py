"""Two more bounds beside the oracles: perfect knowledge of the users, and what luck alone gives.

They are levels of logloss without predictions of rows, measured as in
:mod:`metaselector.evaluate.headroom`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from metaselector.common.errors import UserError
from metaselector.evaluate.alignment import Aligned
from metaselector.evaluate.headroom import headroom
from metaselector.evaluate.losses import row_logloss

HEADROOM, CHANCE = BOUNDS = ("headroom", "chance")
"""Rows of the results table: logloss if each user had the base model that is truly best for them,
and logloss of the user-level oracle after rows were permuted among users."""

PERMUTATIONS = 100


def selection_bounds(aligned: Aligned, base_models: Sequence[str], seed: int) -> dict[str, float]:
    """Logloss of :data:`BOUNDS`: that of the best base model on these rows, minus the gain.

    The mean of :data:`PERMUTATIONS` permutations is the level of chance. Intervals, and figures on
    *valid*, come from ``metaselector headroom``.

    Args:
        aligned: predictions of one seed.
        base_models: what was selected from.
        seed: of the random draws.

    Returns:
        By name; empty if there are fewer than two users, or no user has two rows.

    Raises:
        UserError: a base model has no predictions.

    Example:
        >>> p = {"lr": np.array([0.6, 0.4, 0.7, 0.2]), "fm": np.array([0.9, 0.2, 0.4, 0.6])}
        >>> aligned = Aligned(np.array(["ann", "ann", "bob", "bob"]), np.array([1.0, 0, 1, 0]), p)
        >>> list(selection_bounds(aligned, ["lr", "fm"], seed=0))
        ['headroom', 'chance']
    """
    base = np.stack([aligned.of(name) for name in base_models], axis=1)  # [N, K]
    losses = row_logloss(aligned.y[:, None], base)
    try:
        figures = headroom(
            losses,
            aligned.users,
            np.random.default_rng(seed),
            n_resamples=1,
            rows=(),
            splits=1,
            permutations=PERMUTATIONS,
        )
    except UserError:  # too few users or rows
        return {}
    gains = {figure.name: figure.value for figure in reversed(figures)}  # all models come first
    best = gains["best-single"]
    return {HEADROOM: best - gains["perfect-knowledge"], CHANCE: best - gains["chance"]}
