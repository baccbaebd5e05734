"""What each inner step did to one user's support loss, weights and parameters."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from metaselector.adapt.engines import make_engine
from metaselector.adapt.func import FuncEngine
from metaselector.data.episodes import EpisodeRows, load_episodes
from metaselector.data.preparation.new_rows import NewRows
from metaselector.meta_trainer import PHI
from metaselector.mixture import make_loss
from metaselector.trained import Trained


@torch.no_grad()
def trace(model: Trained, rows: NewRows) -> pd.DataFrame:
    """The inner loop of one user, step by step.

    Args:
        rows: the history of one user.

    Returns:
        a row for each number of steps taken, from 0 to all: ``step``; ``support_loss``, the mean
        loss of the support rows, all weighed alike, in nats; ``weight_<base model>``, the mean
        weight over support rows (and tasks); ``moved_<group>``, the Euclidean distance of the
        parameters from where they started, of the ``selector`` and of each base model. Without
        history there are no rows.
    """
    config, dataset = model.config.adapt, rows.dataset
    support = rows.history[-model.support_size :][None]  # [1, S]
    user = np.zeros(1, dtype=np.int64)
    episodes = load_episodes(dataset, EpisodeRows(user, support, support)).to(model.config.device)
    params = dict(model.mixture.named_parameters())
    loss = make_loss(dataset.schema.tasks, config.task_weights)
    engine, adaptation = make_engine(config.engine), model.adaptation
    lines = []
    for steps in range(adaptation.steps + 1):
        taken = adaptation.with_steps(steps)
        arguments = (model.mixture, params, model.alpha, taken, episodes, loss)
        output = engine(*arguments)
        line: dict[str, float] = {"step": steps}
        lost = loss(output, episodes.query.labels, episodes.query.mask)
        line["support_loss"] = lost.item()
        shares = output.weights[0].double()  # [S, K] or [S, K, T]
        means = shares.flatten(2).mean(2).mean(0) if shares.ndim > 2 else shares.mean(0)
        names = model.base_models
        line |= {f"weight_{n}": w for n, w in zip(names, means.tolist(), strict=True)}
        squares: dict[str, float] = defaultdict(float)
        adapted = FuncEngine().adapt(*arguments)
        for name in taken.names if steps else ():
            start: Tensor = params[name]
            if adapted.rows is not None and name in model.mixture.tables:
                start = start[adapted.rows[0]]  # those that this one user touches, each once
            group = "selector" if name.startswith(PHI) else name.split(".")[1]
            squares[group] += (adapted.own[name][0] - start).double().square().sum().item()
        line |= {f"moved_{group}": squares[group] ** 0.5 for group in ("selector", *names)}
        lines.append(line)
    return pd.DataFrame(lines)
