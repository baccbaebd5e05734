"""Peer learning: base models that learn from each other during pre-training.

:mod:`~metaselector.training.peer_learning.together` trains several models in one loop, either by
deep :mod:`~metaselector.training.peer_learning.mutual` learning or by
:mod:`~metaselector.training.peer_learning.co_training` in rounds that label unlabelled
:mod:`~metaselector.training.peer_learning.pairs`.
:mod:`~metaselector.training.peer_learning.views` restricts the fields or rows of each model, and
:mod:`~metaselector.training.peer_learning.confident` selects the pairs that the others label.
"""
