"""Errors, files, progress, text and YAML: what every room may use and what uses no other room.

Start with :mod:`~metaselector.common.errors`.
"""

__version__ = "0.1.0"
