"""A run's directory and the steps over it.

Start with :mod:`~metaselector.runs.run`; :mod:`metaselector.runs.stages` holds the steps.
"""
