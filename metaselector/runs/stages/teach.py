"""Train those base models of a run that teach each other, side by side."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from metaselector.common.errors import ConfigError, nearest
from metaselector.common.progress import Progress
from metaselector.data.splitting.protocol import Window
from metaselector.runs.run import Run
from metaselector.training.distributed import workers
from metaselector.training.freezing import Freezing
from metaselector.training.peer_learning.co_training import co_train, schedule
from metaselector.training.peer_learning.mutual import learn_mutually
from metaselector.training.peer_learning.pairs import check_items
from metaselector.training.peer_learning.together import Peer
from metaselector.training.peer_learning.views import partition
from metaselector.training.pretrain import Pretrained


def check_teaching(run: Run) -> None:
    """Raise a ConfigError if these settings or this data rule out peer learning."""
    peer_learning, names = run.config.peer_learning, run.config.taught
    if peer_learning.strategy == "independent":
        return
    of = f"peer_learning.strategy={peer_learning.strategy}"
    if len(names) < 2:
        raise ConfigError(
            f"{of}: needs at least two base models that are trained here, but found "
            f"{' and '.join(names) or 'none'}; scores and estimators cannot take part"
        )
    if len(run.dataset.schema.tasks) > 1:
        raise ConfigError(f"{of}: works with one task, but the data has several; use independent")
    for name in peer_learning.fields or {}:
        if name not in names:
            raise ConfigError(
                f"peer_learning.fields.{name}: not one of the peers; {nearest(name, names)}"
            )
    if peer_learning.strategy == "co-training":
        check_items(run.dataset)
        if run.config.transfer.freeze:
            raise ConfigError(
                f"{of}: retrains from the start in every round, which rules out transfer.freeze; "
                "use mutual, or freeze nothing"
            )


def teach(
    run: Run, window: Window, seed: int, description: str, progress: Progress
) -> dict[str, Pretrained]:
    """Fit the peers of a window and seed, and save them; each worker does the same work."""
    config, protocol = run.config, run.protocol
    names, peer_learning, chosen = config.taught, config.peer_learning, config.transfer
    refit = window == "full"
    valid: NDArray[np.int64] | None = None if refit else protocol.stopping_rows()
    before = {n: run.checkpoints.base_record(n, "train", seed) for n in names} if refit else {}
    peers, reports = [], {}
    for name in names:
        model, reports[name] = run.checkpoints.start_base(name, window, seed)
        pretrain = config.base_models[name].pretrain.for_rows(len(run.dataset))
        known = dict(model.named_parameters())
        freezing = Freezing(name, known, chosen.freeze, chosen.unfreeze_every)
        epochs = before[name].epochs if refit else pretrain.epochs
        peers.append(Peer(name, model, pretrain, epochs, freezing))
    dataset, rows = protocol.fitting_dataset, protocol.fitting_rows(window)
    generator, snapshots = (
        np.random.default_rng(seed),
        run.checkpoints.taught_snapshots(window, seed),
    )
    if peer_learning.strategy == "mutual":
        made = learn_mutually(
            peers,
            dataset,
            rows,
            peer_learning,
            generator,
            valid=valid,
            description=description,
            progress=progress,
            snapshots=snapshots,
        )
    else:
        shares = [rows] * len(peers)
        if peer_learning.views == "rows":
            shares = partition(dataset, rows, len(peers), seed)
        made = co_train(
            peers,
            dataset,
            shares,
            peer_learning,
            generator,
            valid=valid,
            schedules={n: schedule(each) for n, each in before.items()} if refit else None,
            description=description,
            progress=progress,
            snapshots=snapshots,
        )
    for peer in peers if workers.is_main() else ():
        name = peer.name
        run.checkpoints.save_base(name, window, seed, peer.model, made[name], reports[name])
    snapshots.clear()
    workers.wait()
    return made
