"""Which of a user's rows moved the weights of their base models, and how far."""

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
    """What adapting to one user did.

    Let w(A) be the mean weights, ``[K]``, of the user's test rows (and tasks), adapted on the
    support rows A; S are all of them.

    Attributes:
        user: the user.
        weights: ``base_model, before, after``: w of no row, and w(S).
        rows: a support row each, the latest last: ``item``, ``timestamp`` in seconds (in a tabular
            data set the row), a column for the label
            of each task, ``shift_<base model>``, which is w(S) - w(S without the row), and
            ``influence``, half the sum of the absolute values of those: the share of weight that
            moves from some base models to others because of this row.
    """

    user: str
    weights: pd.DataFrame
    rows: pd.DataFrame


def explain_user(run: Run, user: str, seed: int | None = None) -> Explanation:
    """Leave out the support rows of a user's test window one by one.

    Features stay as they are: a row that is left out of the support is in the histories of later
    ones still.

    Raises:
        UserError: there is no such user, or they have no row in the test.

    Warns:
        UnknownWarning: some items of the support or the test window are unknown to the model.
    """
    trained, dataset = TrainedModel.of_run(run, seed=seed), run.dataset
    if user not in dataset.user_names:
        near = nearest(user, dataset.user_names[:10_000])
        raise UserError(f"{run.directory}: there is no user '{user}'; {near}")
    found = run.protocol.evaluation_splits[-1].test
    place = np.flatnonzero(found.users == dataset.user_names.index(user))
    if not len(place):
        raise UserError(f"{run.directory}: user '{user}' has no rows in the test; choose another")
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
    """One user's episode with no support, with all of it, and without each row of it.

    Returns:
        ``S + 2`` episodes, S the support rows that are none of padding.
    """
    support, query = episode.support, episode.query
    mask = support.mask[0]
    rows = mask.nonzero().squeeze(1)
    masks = mask.repeat(len(rows) + 2, 1)  # [S + 2, support]
    masks[0] = 0
    masks[torch.arange(len(rows), device=rows.device) + 2, rows] = 0
    many = len(masks)
    return Episodes(replace(_repeated(support, many), mask=masks), _repeated(query, many))


@torch.no_grad()
def _mean_weights(trained: TrainedModel, episodes: Episodes) -> np.ndarray:
    """float64 ``[U, K]``, means over the query (and tasks), after adapting."""
    adapted, found = trained.adapted, []
    for part in episodes.split(adapted.users_at_once):
        output = adapted.output(part)
        weights = output.weights.double()  # [U, Q, K] or [U, Q, K, T]
        found.append(weights.flatten(3).mean(3) if weights.ndim > 3 else weights)
    return torch.cat(found).mean(1).cpu().numpy()


def _repeated(rows: Rows, times: int) -> Rows:
    def repeat(tensor: torch.Tensor) -> torch.Tensor:
        return tensor.expand(times, *tensor.shape[1:])

    ids, values = map(repeat, rows.batch)
    return Rows(type(rows.batch)(ids, values), repeat(rows.labels), repeat(rows.mask))
