"""Embedding lookups that ``vmap`` can batch, and an Adam that updates only the rows it touches.

Start with :mod:`~metaselector.models.kernels.lookups`.
"""
