"""Which runs can be trained with sharded tables."""

from __future__ import annotations

from torch.distributed.device_mesh import init_device_mesh

from metaselector.common.errors import ConfigError
from metaselector.config import Config
from metaselector.data.encoded.schema import Schema
from metaselector.training.distributed import workers
from metaselector.training.distributed.sharded.files import ShardedFiles


def shard(config: Config, schema: Schema) -> ShardedFiles:
    """Share the tables of a run among all workers; each of them must call it.

    Raises:
        ConfigError: there is one worker only, or the run needs whole tables.
    """
    estimators = [name for name, model in config.base_models.items() if model.estimator]
    scores = [name for name, model in config.base_models.items() if model.gives_scores]
    comm = config.meta_train.comm
    aggregated = [n for n, model in config.base_models.items() if model.pretrain.aggregator]
    for wrong, problem in (
        (workers.count() == 1, "there is only one worker; add --workers N"),
        (config.device != "cpu", f"device={config.device} is not supported; use cpu"),
        (
            aggregated,
            f"base_models.{', '.join(aggregated)}: pretrain.aggregator needs whole tables",
        ),
        (config.taught, "base models that teach each other need whole tables"),
        (config.transfer.init_from, "transfer.init_from needs whole tables"),
        (estimators, f"base_models.{', '.join(estimators)}: an estimator has no tables to shard"),
        (len(scores) == len(config.base_models), "all base models are scores, without tables"),
        (
            config.adapt.engine != "func",
            f"adapt.engine={config.adapt.engine} needs whole tables; use func",
        ),
        (
            comm not in (None, "sparse"),
            f"meta_train.comm={comm} is for whole tables; leave it out",
        ),
    ):
        if wrong:
            raise ConfigError(f"--shard-tables: {problem}")
    return ShardedFiles(init_device_mesh(config.device, (workers.count(),)), schema.num_ids)
