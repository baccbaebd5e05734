"""The steps behind the commands; each reads what the previous step left in the run's directory.

Start with :mod:`~metaselector.runs.stages.train`.
"""
