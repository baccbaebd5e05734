"""Embedding tables whose rows are spread over the workers.

Start with :mod:`~metaselector.training.distributed.sharded.rows`.
"""
