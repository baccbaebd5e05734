"""Statistics of raw data and advice on them, before anything is prepared.

Start with :mod:`~metaselector.data.profile.describe`.
"""
