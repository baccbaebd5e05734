"""The commands that list settings and what they can name: config and plugins."""

from __future__ import annotations

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import load
from metaselector.cli.options import ALLOW_CODE, CONFIG, SET
from metaselector.common.streams import console, put_out


@with_options(CONFIG, SET)
def config_command(options: Options) -> None:
    """Print every setting with its value and meaning, as YAML that --config accepts."""
    from metaselector.config import documented_yaml

    put_out(documented_yaml(load(options, options.config, allow_code=True)))  # no code is run


@with_options(CONFIG, SET, ALLOW_CODE)
def plugins(options: Options) -> None:
    """List what settings can name: base models, selectors, rules, data sets, metrics and so on.

    Shows the source of each: built in, a package, or, for base models in the settings, a file.
    """
    from metaselector.config.plugins.kinds import (
        ESTIMATORS,
        METRICS,
        RULES,
        SELECTORS,
        SIMILARITIES,
    )
    from metaselector.data import registry as data_registry
    from metaselector.models.registry import MODELS, in_files
    from metaselector.report.terminal import print_plugins

    kinds = (MODELS, ESTIMATORS, SELECTORS, RULES, SIMILARITIES, data_registry.PLUGINS, METRICS)
    lines = [line for kind in kinds for line in kind.listing()]
    settings = load(options, options.config)
    print_plugins([*in_files(settings), *lines], console())
