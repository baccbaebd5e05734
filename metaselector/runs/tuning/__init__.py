"""The search for settings with Optuna.

Start with :mod:`~metaselector.runs.tuning.search`.
"""
