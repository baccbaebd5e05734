"""What two workers do, beside what one process does; torchrun starts this file.

Everything is first done alone, then by all workers together; each writes how far the two are apart
to ``<folder>/<rank>.json``.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from base_models.deepfm import DeepFM
from base_models.fm import FM
from base_models.lr import LR
from metaselector.common.progress import Silent
from metaselector.config import AdaptConfig, Config, MetaTrainConfig, SelectorConfig
from metaselector.config.training import CheckpointConfig, PretrainConfig
from metaselector.data.encoded.batch import Batch
from metaselector.data.planted import planted_world
from metaselector.data.splitting.episodes import Episodes, Rows, window_episodes
from metaselector.meta import outer_loop
from metaselector.meta.adapted import AdaptedModel
from metaselector.meta.outer_loop import MetaLearner
from metaselector.meta.parameters import MetaParameters
from metaselector.meta.train import meta_train
from metaselector.meta.variants import make_adaptation
from metaselector.models.build import build_mixture
from metaselector.models.mixture import Mixture
from metaselector.training.distributed import workers
from metaselector.training.distributed.agreement import Agreement
from metaselector.training.freezing import Freezing
from metaselector.training.loop.divergence import Diverged
from metaselector.training.loop.interruption import Interrupted
from metaselector.training.loop.snapshot_manager import SnapshotDirectory
from metaselector.training.predict import predict
from metaselector.training.pretrain import _Pretraining, pretrain

if __package__:
    from tests.training.distributed import task_checks
else:  # started by torchrun, where another package may be called tests
    import task_checks

RANK = int(os.environ.get("RANK", "0"))
DATA = planted_world(4, 20, 8, np.random.default_rng(0)).dataset
EXACT = ("none", "sparse", "powersgd:1", "local-sgd:2")  # the last two in their warm-up
DIVERGED = (("sparse", 13), ("local-sgd:3", 13), ("local-sgd:3", 12))
"""In rounds that begin with all workers in step; but for the last, which ends an epoch."""
ROUNDED = {"fp16": 1e-3, "bf16": 1e-2}


def configure(**changes: Any) -> Config:
    adapt = {
        "support_size": 5,
        "inner_lr_theta": 0.1,
        "inner_lr_phi": 0.1,
        **changes.pop("adapt", {}),
    }
    meta = {"users_per_batch": 5, "query_size": 3, "epochs": 3, "outer_lr_theta": 0.05}
    return Config(
        selector=SelectorConfig(embedding_size=2, hidden_size=16, **changes.pop("selector", {})),
        adapt=AdaptConfig(**adapt),
        meta_train=MetaTrainConfig(**{**meta, **changes}),
    )


def models(seed: int) -> dict[str, nn.Module]:
    schema = DATA.schema
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        made: dict[str, nn.Module] = {
            "lr": LR(schema.num_ids, schema.slot_fields),
            "fm": FM(schema.num_ids, schema.slot_fields, embedding_size=2),
        }
        for model in made.values():
            for parameter in model.parameters():
                nn.init.normal_(parameter, std=0.5)
    return made


def mixture(seed: int, config: Config) -> Mixture:
    return build_mixture(models(seed), DATA.schema, config, 0)


def gradients_of(trainable: Any) -> dict[str, Tensor]:
    return {
        name: p.grad.to_dense().detach().clone() if p.grad is not None else torch.zeros(1)
        for name, p in trainable.parameters.items()
    }


def meta_step(
    comm: str, users: int, *, dtype: torch.dtype, at_once: int = 64, granularity: Any = "tensor"
) -> dict[str, Tensor]:
    """Loss and gradients of one meta-step."""
    adapt = {"granularity": granularity, "per_step": granularity != "element"}
    config = configure(comm=comm, adapt={**adapt, "max_users_per_chunk": at_once})
    arguments = (mixture(1, config), mixture(2, config), config, np.random.default_rng(0))
    trainable = MetaLearner("metaselector", DATA, *arguments)
    trainable._episode.to(dtype)
    load = trainable._load
    trainable._load = lambda rows: cast(load(rows), dtype)  # type: ignore[method-assign]
    loss = trainable.gradients(np.arange(users), 1)
    assert loss is not None
    return {"loss": torch.tensor([loss], dtype=dtype), **gradients_of(trainable)}


def cast(episodes: Episodes, dtype: torch.dtype) -> Episodes:
    def of(rows: Rows) -> Rows:
        batch = Batch(rows.batch.ids, rows.batch.values.to(dtype))
        return Rows(batch, rows.labels.to(dtype), rows.mask)

    return Episodes(of(episodes.support), of(episodes.query))


def row_step(rows: int) -> dict[str, Tensor]:
    """Loss and gradients of one step of a base model, without dropout."""
    schema, config = DATA.schema, PretrainConfig(batch_size=rows)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = DeepFM(schema.num_ids, schema.slot_fields, embedding_size=2, dropout=0.0)
    freezing = Freezing("", {}, (), None)
    generator = np.random.default_rng(0)
    trainable = _Pretraining(model, DATA, np.arange(64), config, generator, None, freezing, "fit")
    loss = trainable.gradients(trainable.begin(1)[0], 1)
    return {"loss": torch.tensor([loss]), **gradients_of(trainable)}


def fitted(valid: bool) -> dict[str, Tensor]:
    """A base model trained for some epochs, and the losses of its epochs."""
    model = models(3)["fm"]
    made = pretrain(
        model,
        DATA,
        np.arange(100),
        PretrainConfig(batch_size=15, epochs=4),
        np.random.default_rng(0),
        valid=np.arange(100, 150) if valid else None,
        epochs=4,
        description="fit",
        progress=Silent(),
    )
    losses = [line["train_loss"] for line in made.history]
    return {"losses": torch.tensor(losses), **model.state_dict()}


def learned(
    comm: str, keep: Path | None = None, stop: int | None = None, *, tables: bool = True
) -> MetaParameters:
    sees = ("fields", "outputs") if tables else ("outputs",)
    config = configure(comm=comm, epochs=8, patience=9, selector={"inputs": sees})
    snapshots = None
    if keep is not None:
        snapshots = SnapshotDirectory(keep, {}, CheckpointConfig(steps=1))
        if stop is not None:
            due = snapshots.due

            def until(global_step: int) -> bool:
                if global_step == stop:
                    raise Interrupted(2, None)
                return due(global_step)

            snapshots.due = until  # type: ignore[method-assign]
    return meta_train(
        "metaselector" if tables else "metaselector-simplified",
        DATA,
        mixture(1, config),
        mixture(2, config),
        config,
        np.random.default_rng(0),
        description="learn",
        progress=Silent(),
        snapshots=snapshots,
    )


def outcome(found: MetaParameters) -> dict[str, Tensor]:
    losses = [line["valid_loss"] for line in found.history]
    rates = [line["mean"] for line in found.rates]  # of every epoch, not of the best one alone
    return {"losses": torch.tensor(losses), "rates": torch.tensor(rates), **found.tensors()}


def predicted() -> dict[str, Tensor]:
    """Of many chunks, so that every worker has some."""
    config = configure(adapt={"max_users_per_chunk": 1})
    made = mixture(1, config)
    adaptation = make_adaptation("metaselector", made, config)
    alpha = adaptation.initial_rates(dict(made.named_parameters()))
    episodes = window_episodes(DATA, (80, 90), 5)
    model = AdaptedModel.of_settings(made, alpha, adaptation, DATA.schema.tasks, config.adapt)
    found = model.predict(DATA, episodes)
    logits = predict(models(1)["lr"], DATA, np.arange(len(DATA.labels)))
    parts = {name: torch.from_numpy(np.asarray(part)) for name, part in found._asdict().items()}
    return {"logits": logits, **parts}


def apart(alone: dict[str, Tensor], together: dict[str, Tensor]) -> float:
    """The largest difference, relative to the largest number of all."""
    assert alone.keys() == together.keys()
    largest = max(tensor.abs().max().item() for tensor in alone.values())
    return max((alone[n] - t).abs().max().item() for n, t in together.items()) / largest


def diverged(comm: str, at: int) -> int:
    """The step whose non-finite labels, on one worker at step `at`, are noticed."""
    load, calls = outer_loop.load_episodes, iter(range(1, 1000))

    def poisoned(*arguments: Any) -> Episodes:
        found = load(*arguments)
        if RANK == 1 and next(calls) == at:
            found.query.labels.fill_(torch.nan)
        return found

    outer_loop.load_episodes = poisoned  # type: ignore[assignment]
    try:
        learned(comm)
    except Diverged as error:
        return int(str(error).split("step ")[1].split()[0])
    finally:
        outer_loop.load_episodes = load
    return 0


def mean_of(found: dict[str, Tensor]) -> dict[str, Tensor]:
    """Over workers."""
    return {n: torch.from_numpy(workers.summed(t.numpy())) / 2 for n, t in found.items()}


def checks() -> dict[str, Callable[[], dict[str, Tensor]]]:
    double, single = torch.float64, torch.float32
    found: dict[str, Callable[[], dict[str, Tensor]]] = {}
    for comm in (*EXACT, *ROUNDED):
        found[f"gradients {comm}"] = lambda comm=comm: meta_step(comm, 5, dtype=double)
    for users in (1, 2, 8):
        found[f"gradients of {users}"] = lambda n=users: meta_step("sparse", n, dtype=double)
    found["gradients in passes"] = lambda: meta_step("sparse", 7, dtype=double, at_once=2)
    found["gradients by element"] = lambda: meta_step(
        "sparse", 5, dtype=double, granularity="element"
    )
    found["gradients single"] = lambda: meta_step("sparse", 5, dtype=single)
    for rows in (1, 7, 64):
        found[f"gradients of {rows} rows"] = lambda n=rows: row_step(n)
    found |= task_checks.checks()
    for valid in (True, False):
        found[f"pretrained, valid={valid}"] = lambda v=valid: fitted(v)
    for comm in ("sparse", "none"):
        found[f"learned {comm}"] = lambda comm=comm: outcome(learned(comm))
    found["predicted"] = predicted
    return found


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    alone = {name: check() for name, check in checks().items()}
    report: dict[str, Any] = {}
    with workers.joined("cpu"):
        for name, check in checks().items():
            report[name] = apart(alone[name], check())
        for comm in ("powersgd:1", "local-sgd:3"):
            found = outcome(learned(comm))
            report[f"workers agree: {comm}"] = apart(found, mean_of(found))
            report[f"moved: {comm}"] = apart(alone["learned sparse"], found)
        for case in (("aitm", "uncertainty"), ("aitm", "pcgrad"), ("summed", "plain")):
            report[f"rows of {case}"] = list(task_checks.computed_rows(*case))
        agreement = Agreement(2)
        for said in ((RANK, 1 - RANK), (0, 0)):
            agreement.say(*said)
        report["heard"] = [agreement.hear(), agreement.hear()]
        for comm, at in DIVERGED:
            report[f"diverged: {comm}, {at}"] = diverged(comm, at)
        few = outcome(learned("local-sgd:3", tables=False))
        report["workers agree: no tables"] = apart(few, mean_of(few))
        for comm in ("sparse", "powersgd:1", "local-sgd:3"):
            with suppress(Interrupted):  # local steps are averaged after the 14th
                learned(comm, folder / f"kept-{comm}", stop=14)
            workers.wait()  # until the first one has written
        on = outcome(learned("local-sgd:3", folder / "kept-local-sgd:3"))
        report["workers agree: resumed"] = apart(on, mean_of(on))
    if RANK == 0:  # alone again
        on = outcome(learned("sparse", folder / "kept-sparse"))
        report["resumed alone"] = apart(alone["learned sparse"], on)
    (folder / f"{int(os.environ['RANK'])}.json").write_text(json.dumps(report))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    # Threads that torch leaves behind now and then abort the end of the interpreter on a busy
    # machine; all that is checked has been written.
    os._exit(0)
