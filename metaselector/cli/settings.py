"""The commands that list settings and what they can name: config and plugins."""

from __future__ import annotations

import re

from metaselector.cli.declare import Options, with_options
from metaselector.cli.opening import load
from metaselector.cli.options import ALLOW_CODE, CONFIG, JSON, QUIET, SET
from metaselector.common.streams import put_out, say
from metaselector.common.text import shortened

_LONGEST = 500  # characters of a description
_ROLE = re.compile(r":[a-z:]+:`~?(?:[^`]*\.)?([^`.]*)`")


@with_options(CONFIG, SET, QUIET)
def config_command(options: Options) -> None:
    """Print every setting with its value and meaning, as YAML that --config accepts."""
    from metaselector.config import documented_yaml

    put_out(documented_yaml(load(options, options.config, allow_code=True)))  # no code is run


@with_options(CONFIG, SET, ALLOW_CODE, JSON, QUIET)
def plugins(options: Options, as_json: bool) -> None:
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
    from metaselector.report.as_json import as_text

    data_sets = data_registry.PLUGINS
    kinds = (MODELS, ESTIMATORS, SELECTORS, RULES, SIMILARITIES, data_sets, METRICS)
    listed = in_files(load(options, options.config))
    listed += [plugin for kind in kinds for plugin in kind.listing()]
    listed = [plugin._replace(summary=_plain(plugin.summary)) for plugin in listed]
    if as_json:
        put_out(as_text([plugin._asdict() for plugin in listed]))
        return
    lines = [("kind", "name", "source", "description"), *listed]
    widths = [max(len(line[column]) for line in lines) for column in range(3)]
    for line in lines:
        cells = [text.ljust(width) for text, width in zip(line, widths, strict=False)]
        say("  ".join([*cells, line[3]]).rstrip())


def _plain(text: str) -> str:
    """A docstring's line without the marks of reStructuredText.

    Example:
        >>> _plain("Like :class:`~metaselector.models.Mixture`, but ``logit = b``.")
        'Like Mixture, but logit = b.'
    """
    return shortened(_ROLE.sub(r"\1", text).replace("`", ""), _LONGEST)
