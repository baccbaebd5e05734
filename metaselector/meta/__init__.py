"""Meta-learning: the inner loop adapts to a user, the outer loop learns where it starts.

Start with :mod:`~metaselector.meta.train`; the outer loop is
:mod:`~metaselector.meta.outer_loop` and the inner loop lies in :mod:`metaselector.meta.adapt`.
"""
