"""MetaSelector in Python: start with :mod:`~metaselector.api.model`."""

from metaselector.api.model import MetaSelector as MetaSelector
