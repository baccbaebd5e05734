"""A saved model, its adaptation to one user, and the explanation of it.

Start with :mod:`~metaselector.inference.trained`.
"""
