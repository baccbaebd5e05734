"""The encoded data set: its schema, the batches that models read, and its files.

Start with :mod:`~metaselector.data.encoded.dataset`.
"""
