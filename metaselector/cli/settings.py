"""The commands that say what can be set: config and plugins."""

from __future__ import annotations

from metaselector.cli.options import AllowCodeOption, ConfigOption, SetOption
from metaselector.common.streams import console, put_out


def config_command(
    config: ConfigOption = None,
    overrides: SetOption = None,
) -> None:
    """Print every setting with its value and meaning, as YAML that --config takes."""
    from metaselector.config import documented_yaml, load_config

    settings = load_config(config, overrides or (), allow_code=True)  # none is run
    put_out(documented_yaml(settings))


def plugins(
    config: ConfigOption = None,
    overrides: SetOption = None,
    allow_code: AllowCodeOption = False,
) -> None:
    """List what settings can name: base models, selectors, rules, data sets, metrics and so on.

    With their source: built in, a package, or, of base models in the settings, a file.
    """
    from metaselector.config import load_config
    from metaselector.config.plugins.kinds import ESTIMATORS, METRICS, RULES, SELECTORS
    from metaselector.data import registry as data_registry
    from metaselector.models.registry import MODELS, in_files
    from metaselector.report.terminal import print_plugins

    kinds = (MODELS, ESTIMATORS, SELECTORS, RULES, data_registry.PLUGINS, METRICS)
    lines = [line for kind in kinds for line in kind.listing()]
    settings = load_config(config, overrides or (), allow_code=allow_code)
    print_plugins([*in_files(settings), *lines], console())
