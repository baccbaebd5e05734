"""For authors of plug-ins: what must hold of a base model, checked in one call."""

from metaselector.testing.check import check_base_model

__all__ = ["check_base_model"]
