"""Every setting of a run, read from YAML and the command line and checked.

Start with :class:`Config`, then :func:`load_config`; each section has a module of its name.
"""

from metaselector.config.adapt import AdaptConfig, ResidualsConfig
from metaselector.config.config import TABLE_ROWS, Config
from metaselector.config.data import ColdConfig, DataConfig, SplitConfig
from metaselector.config.document import documented_yaml
from metaselector.config.evaluate import EvaluateConfig
from metaselector.config.load import change_config, load_config
from metaselector.config.meta import MetaTrainConfig, PaperConfig
from metaselector.config.models import BaseModelConfig, ScoresConfig
from metaselector.config.selector import SelectorConfig
from metaselector.config.training import CheckpointConfig

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
    "PaperConfig",
    "ResidualsConfig",
    "ScoresConfig",
    "SelectorConfig",
    "SplitConfig",
    "change_config",
    "documented_yaml",
    "load_config",
]
