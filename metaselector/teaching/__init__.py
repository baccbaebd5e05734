"""Base models that teach each other while they are pre-trained.

:mod:`together` trains several models in one training, :mod:`mutual` by deep mutual learning and
:mod:`co_training` in rounds of labelling :mod:`pairs` that nobody has labelled. :mod:`views` is
what each of them sees, and :mod:`confident` which pairs the others label for a model.
"""
