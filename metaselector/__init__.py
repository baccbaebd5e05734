"""MetaSelector: user-level adaptive model selection for recommenders.

The rooms, lowest first; each imports only those above it in this list:

- ``common``: errors, files, progress and YAML
- ``config``: every setting, and the plug-ins that a setting can name
- ``data``: raw files, encoded rows, windows of time, users' episodes
- ``models``: base models by name, the selector, the mixture
- ``evaluate``: metrics, oracles, combiners, intervals
- ``training``: pretraining, transfer and peer learning, and the loop behind every training
- ``meta``: meta-learning: the inner loop, the engines, the outer loop
- ``report``: tables, figures and the HTML page, from a run's files
- ``runs``: a run's directory and the steps over it
- ``inference``: a saved model, its adaptation to one user, the explanation
- ``testing``: the checks for authors of base models
- ``plots``: figures in Python
- ``api``: :class:`MetaSelector`, the Python front door
- ``cli``: the command line
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from metaselector.common import __version__ as __version__

if TYPE_CHECKING:
    from metaselector.api import MetaSelector
    from metaselector.common.errors import UserError
    from metaselector.inference.adapted_user import AdaptedUser
    from metaselector.inference.adapted_users import AdaptedUsers

__all__ = ["AdaptedUser", "AdaptedUsers", "MetaSelector", "UserError"]

_MODULES = {
    "AdaptedUser": "metaselector.inference.adapted_user",
    "AdaptedUsers": "metaselector.inference.adapted_users",
    "MetaSelector": "metaselector.api",
    "UserError": "metaselector.common.errors",
}


def __getattr__(name: str) -> Any:
    """Import a public name on first use, so that ``import metaselector`` does not load torch."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
