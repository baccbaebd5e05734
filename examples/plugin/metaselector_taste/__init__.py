"""A base model for MetaSelector in a package of its own."""

from metaselector_taste.taste import Taste

__all__ = ["Taste"]
