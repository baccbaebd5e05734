"""MetaSelector: user-level adaptive model selection for recommenders."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metaselector.api import MetaSelector
    from metaselector.inference.adapted_user import AdaptedUser

__all__ = ["AdaptedUser", "MetaSelector"]
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import torch, and what needs it, only when it is asked for."""
    if name == "MetaSelector":
        from metaselector.api import MetaSelector

        return MetaSelector
    if name == "AdaptedUser":
        from metaselector.inference.adapted_user import AdaptedUser

        return AdaptedUser
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
