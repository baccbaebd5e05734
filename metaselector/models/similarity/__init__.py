"""How alike the items of two rows are, for attention from a user's query rows to their support.

Start with :mod:`~metaselector.models.similarity.contract`.
"""
