"""Base models that learn from each other while they are pretrained.

Start with :mod:`~metaselector.training.peer_learning.mutual` (deep mutual learning) and
:mod:`~metaselector.training.peer_learning.co_training`; both train their models through
:mod:`~metaselector.training.peer_learning.together`.
"""
