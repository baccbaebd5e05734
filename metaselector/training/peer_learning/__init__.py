"""Base models that teach each other while they are pre-trained.

:mod:`~metaselector.training.peer_learning.together` trains several models in one training,
:mod:`~metaselector.training.peer_learning.mutual` by deep mutual learning and
:mod:`~metaselector.training.peer_learning.co_training` in rounds of labelling
:mod:`~metaselector.training.peer_learning.pairs` that nobody has labelled.
:mod:`~metaselector.training.peer_learning.views` is what each of them sees, and
:mod:`~metaselector.training.peer_learning.confident` which pairs the others label for a model.
"""
