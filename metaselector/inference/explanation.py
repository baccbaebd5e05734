"""How far each of a user's rows moved the weights of the base models."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch

from metaselector.common.errors import UserError, nearest
from metaselector.data.microseconds import as_seconds
from metaselector.data.preparation.unknown import warn_unknown_items
from metaselector.data.raw.values import shown
from metaselector.data.splitting.episodes import Episodes, Rows, load_episodes
from metaselector.inference.trained import TrainedModel
from metaselector.runs.run import Run


class Explanation(NamedTuple):
    """The effect of adapting to one user.

    Let w(A) be the mean weights, ``[K]``, over the user's test rows (and tasks), adapted on the
    support rows A, and S the whole support.

    Attributes:
        user: the user.
        weights: ``base_model, before, after``: w without support, and w(S).
        rows: one line per support row, oldest first: ``item``, ``timestamp`` in seconds (in a
            tabular data set the row), the label of each task, ``shift_<base model>``, which is
            w(S) - w(S without the row), and ``influence``, half the sum of the absolute shifts:
            the share of weight that this row moves from some base models to others.
    """

    user: str
    weights: pd.DataFrame
    rows: pd.DataFrame


def explain_user(run: Run, user: str, seed: int | None = None) -> Explanation:
    """Leave out each support row of a user's test window in turn.

    Of a user who is predicted block by block, it is the last block.

    Features do not change: a row that is left out of the support still counts in the history
    features of later rows.

    Raises:
        UserError: there is no such user, or they have no rows in the test window.

    Warns:
        UnknownWarning: the model does not know some items of the support or the test window.
    """
    trained, dataset = TrainedModel.of_run(run, seed=seed), run.dataset
    if user not in dataset.user_names:
        near = nearest(user, dataset.user_names[:10_000])
        raise UserError(f"{run.directory}: there is no user '{user}'; {near}")
    found = run.protocol.overall.test
    place = np.flatnonzero(found.users == dataset.user_names.index(user))[-1:]
    if not len(place):
        drawn = run.config.evaluate.max_users is not None
        reason = ", or was not drawn (evaluate.max_users)" if drawn else ""
        raise UserError(
            f"{run.directory}: user '{user}' has no rows in the test{reason}; choose another"
        )
    episode = found.some(place)
    support = episode.support[0][episode.support[0] >= 0]
    batch = load_episodes(dataset, episode).to(run.config.device)
    means = _mean_weights(trained, left_out(batch))  # [S + 2, K]
    shifts = means[1] - means[2:]
    names = trained.base_models
    encoder = trained.encoder
    items, codes = encoder.items.index, dataset.items[support]
    times = dataset.timestamps[support]
    if len(items):
        seen = np.concatenate([codes, dataset.items[episode.query[0][episode.query[0] >= 0]]])
        warn_unknown_items(encoder, f"rows of user {shown(user)}", items[seen])
    rows: dict[str, Any] = {"item": items[codes] if len(items) else [""] * len(support)}
    rows |= {"timestamp": times if encoder.rows.tabular else as_seconds(times)}
    labels = zip(dataset.schema.tasks, dataset.task_labels[support].T, strict=True)
    rows |= dict(labels) | {f"shift_{n}": s for n, s in zip(names, shifts.T, strict=True)}
    rows["influence"] = np.abs(shifts).sum(axis=1) / 2
    weights = {"base_model": names, "before": means[0], "after": means[1]}
    return Explanation(user, pd.DataFrame(weights), pd.DataFrame(rows))


def left_out(episode: Episodes) -> Episodes:
    """One user's episode without support, with all of it, and without each row in turn.

    Returns:
        ``S + 2`` episodes, where S counts the support rows without padding.
    """
    support, query = episode.support, episode.query
    mask = support.mask[0]
    rows = mask.nonzero().squeeze(1)
    masks = mask.repeat(len(rows) + 2, 1)  # [S + 2, support]
    masks[0] = 0
    masks[torch.arange(len(rows), device=rows.device) + 2, rows] = 0
    many, alike = len(masks), episode.similarity
    return Episodes(
        replace(_repeated(support, many), mask=masks),
        _repeated(query, many),
        None if alike is None else _repeat(alike, many),
    )


@torch.no_grad()
def _mean_weights(trained: TrainedModel, episodes: Episodes) -> np.ndarray:
    """Mean weights over the query (and tasks) after adapting, float64 ``[U, K]``."""
    adapted, found = trained.adapted, []
    for part in episodes.split(adapted.users_at_once):
        output = adapted.output(part)
        weights = output.weights.double()  # [U, Q, K] or [U, Q, K, T]
        found.append(weights.flatten(3).mean(3) if weights.ndim > 3 else weights)
    return torch.cat(found).mean(1).cpu().numpy()


def _repeated(rows: Rows, times: int) -> Rows:
    ids, values = (_repeat(slots, times) for slots in rows.batch)
    return replace(
        rows,
        batch=type(rows.batch)(ids, values),
        labels=_repeat(rows.labels, times),
        mask=_repeat(rows.mask, times),
        hours=None if rows.hours is None else _repeat(rows.hours, times),
    )


def _repeat(of_one: torch.Tensor, times: int) -> torch.Tensor:
    return of_one.expand(times, *of_one.shape[1:])
