"""How models' losses vary between users and within them, and what selecting by user can then win.

Losses of K models are described by K - 1 orthonormal contrasts, because only differences between
models matter for a choice.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.stats import norm

from metaselector.data.interactions import Floats, Ints

_CHUNK = 2_000_000  # numbers in a block of simulated users


class UserSums(NamedTuple):
    """Sums over each user's rows; U users, P contrasts.

    Attributes:
        rows: float64 ``[U]``, each at least 1.
        sums: ``[U, P]``.
        within: ``[U, P, P]``, the user's sample covariance; users with one row have the mean of
            the others, weighted by their degrees of freedom.
    """

    rows: Floats
    sums: Floats
    within: Floats


class Moments(NamedTuple):
    """Mean and covariances of R samples of users.

    Attributes:
        mean: ``[R, P]``.
        between: ``[R, P, P]``; chance may give it negative eigenvalues.
        within: ``[R, P, P]``.
    """

    mean: Floats
    between: Floats
    within: Floats


def contrasts(n_models: int) -> Floats:
    """Orthonormal columns ``[K, K - 1]`` that are orthogonal to the vector of ones."""
    centred = np.eye(n_models) - 1 / n_models
    return np.linalg.svd(centred)[0][:, : n_models - 1]


def user_sums(values: Floats, codes: Ints) -> UserSums:
    """Sums of `values` ``[N, P]`` by user; `codes` ``[N]`` are sorted, from 0, without gaps."""
    starts = np.flatnonzero(np.diff(codes, prepend=-1))
    rows = np.diff(starts, append=len(codes)).astype(np.float64)
    sums = np.add.reduceat(values, starts)
    centred = values - (sums / rows[:, None])[codes]
    squares = np.add.reduceat(centred[:, :, None] * centred[:, None, :], starts)  # [U, P, P]
    freedom = rows - 1
    pooled = squares.sum(axis=0) / max(freedom.sum(), 1)
    own = squares / np.maximum(freedom, 1)[:, None, None]
    return UserSums(rows, sums, np.where(freedom[:, None, None] > 0, own, pooled))


def moments(users: UserSums, weights: Floats) -> Moments:
    """Estimate mean and covariances by the method of moments for unequal numbers of rows.

    User u has n_u rows, mean x_u and sample covariance C_u; N is the number of rows and m their
    mean. Then E[sum_u n_u (x_u - m)(x_u - m)'] = (N - sum n_u^2 / N) between
    + sum_u (1 - n_u / N) C_u, whether or not users vary equally within themselves. Solved for
    ``between``, the estimate is unbiased. Source: Searle, Casella and McCulloch, "Variance
    Components", 1992, chapter 3, where C_u is the same for all users.

    Args:
        users: of U users.
        weights: ``[R, U]``, how often each user is in each sample; copies count as separate users.

    Returns:
        nan for samples with only one user.
    """
    n, p = users.rows, users.sums.shape[1]
    flat = users.within.reshape(len(n), p * p)
    outer = (users.sums[:, :, None] * users.sums[:, None, :]).reshape(len(n), p * p)
    total = weights @ n  # [R]
    sums = weights @ users.sums  # [R, P]
    mean = sums / total[:, None]
    within = weights @ (n[:, None] * flat) / total[:, None]  # [R, P * P]
    squares = weights @ (outer / n[:, None])
    squares -= (sums[:, :, None] * mean[:, None, :]).reshape(len(weights), p * p)
    scale = total - weights @ n**2 / total
    with np.errstate(divide="ignore", invalid="ignore"):
        between = (squares - (weights @ flat - within)) / scale[:, None]
    between[~(scale > 1e-9 * total)] = np.nan
    shape = (len(weights), p, p)
    return Moments(mean, between.reshape(shape), within.reshape(shape))


def parts(covariance: Floats) -> tuple[Floats, Floats]:
    """The positive semi-definite A and B, ``[R, P, P]``, with ``covariance = A - B`` and AB = 0."""
    known = ~np.isnan(covariance).any(axis=(1, 2))
    positive = np.full_like(covariance, np.nan)
    values, vectors = np.linalg.eigh(covariance[known])
    scaled = vectors * np.maximum(values, 0)[:, None, :]
    positive[known] = scaled @ vectors.transpose(0, 2, 1)
    return positive, positive - covariance


def evidence(between: Floats, within: Floats, n: float) -> Floats:
    """Covariance ``[R, P, P]`` of the posterior means of users with `n` rows of evidence.

    It is ``between (between + within / n)^-1 between``, that of the best linear prediction, which
    is the posterior mean if losses are normal. `between` must be positive semi-definite.
    """
    noisy = between + within / n
    known = ~np.isnan(noisy).any(axis=(1, 2))
    predicted = np.full_like(noisy, np.nan)
    inverse = np.linalg.pinv(noisy[known], hermitian=True)
    predicted[known] = between[known] @ inverse @ between[known]
    return predicted


def selection_gain(mean: Floats, covariance: Floats, basis: Floats, draws: Floats) -> Floats:
    """``min_k m_k - E[min_k (m + b)_k]`` with b ~ N(0, covariance), for R samples, ``[R]``.

    Exact for two models: with d the difference between them and s the standard deviation of b's,
    ``s phi(|d| / s) - |d| Phi(-|d| / s)``. Else the mean over `draws` of how far the model that
    is best on average is behind the best one.

    Args:
        mean, covariance: of contrasts, ``[R, P]`` and ``[R, P, P]``.
        basis: ``[K, P]``, contrasts to models.
        draws: standard normal, ``[M, P]``.
    """
    if len(basis) == 1:
        return np.zeros(len(mean))
    centre = mean @ basis.T  # [R, K]
    if len(basis) == 2:
        step = basis[0] - basis[1]
        spread = np.sqrt(np.maximum(np.einsum("p,rpq,q->r", step, covariance, step), 0))
        apart = np.abs(centre[:, 0] - centre[:, 1])
        safe = np.where(spread > 0, spread, 1)
        gain = spread * norm.pdf(apart / safe) - apart * norm.cdf(-apart / safe)
        return np.where(spread > 0, gain, np.where(np.isnan(spread), np.nan, 0.0))
    values, vectors = np.linalg.eigh(np.nan_to_num(covariance))
    root = vectors * np.sqrt(np.maximum(values, 0))[:, None, :]  # [R, P, P]
    to_models = basis @ root  # [R, K, P]
    best = centre.argmin(axis=1)
    gains = np.empty(len(mean))
    size = max(1, _CHUNK // (len(draws) * len(basis)))
    for first in range(0, len(mean), size):
        part = slice(first, first + size)
        losses = centre[part, :, None] + to_models[part] @ draws.T  # [r, K, M]
        chosen = losses[np.arange(len(losses)), best[part]]  # [r, M]
        gains[part] = (chosen - losses.min(axis=1)).mean(axis=1)
    gains[np.isnan(covariance).any(axis=(1, 2))] = np.nan
    return gains
