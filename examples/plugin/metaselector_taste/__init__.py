"""A base model for MetaSelector in a separate package."""

from metaselector_taste.taste import Taste

__all__ = ["Taste"]
