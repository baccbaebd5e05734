"""What is combined and what combines it: base models by name, the selector, and the mixture.

Start with :mod:`~metaselector.models.mixture`.
"""
