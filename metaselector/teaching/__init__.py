"""Base models that teach each other while they are pre-trained.

:mod:`~metaselector.teaching.together` trains several models in one training,
:mod:`~metaselector.teaching.mutual` by deep mutual learning and
:mod:`~metaselector.teaching.co_training` in rounds of labelling
:mod:`~metaselector.teaching.pairs` that nobody has labelled.
:mod:`~metaselector.teaching.views` is what each of them sees, and
:mod:`~metaselector.teaching.confident` which pairs the others label for a model.
"""
