"""Pretraining, transfer and peer learning of base models, and the loop behind every training.

Start with :mod:`~metaselector.training.pretrain`; the loop is
:mod:`~metaselector.training.loop.train`.
"""
