"""Every setting of a run, and what a name in one may stand for."""

from metaselector.config.load import (
    TABLE_ROWS,
    AdaptConfig,
    BaseModelConfig,
    CheckpointConfig,
    ColdConfig,
    Config,
    DataConfig,
    EvaluateConfig,
    MetaTrainConfig,
    ScoresConfig,
    SelectorConfig,
    SplitConfig,
    change_config,
    documented_yaml,
    load_config,
)

__all__ = [
    "TABLE_ROWS",
    "AdaptConfig",
    "BaseModelConfig",
    "CheckpointConfig",
    "ColdConfig",
    "Config",
    "DataConfig",
    "EvaluateConfig",
    "MetaTrainConfig",
    "ScoresConfig",
    "SelectorConfig",
    "SplitConfig",
    "change_config",
    "documented_yaml",
    "load_config",
]
