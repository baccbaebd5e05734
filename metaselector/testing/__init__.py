"""For plug-in authors: check a base model with one call."""

from metaselector.testing.check import check_base_model

__all__ = ["check_base_model"]
