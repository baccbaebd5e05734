"""Encoding: clean and stage the interactions, fit the encoder on *train*, encode every row.

Start with :mod:`~metaselector.data.preparation.encode`; rows that arrive later are encoded by
:mod:`~metaselector.data.preparation.new_rows`.
"""
