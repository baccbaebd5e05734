"""Metrics, oracles, intervals and combiners, computed from predictions alone.

Start with :mod:`~metaselector.evaluate.metrics`.
"""
