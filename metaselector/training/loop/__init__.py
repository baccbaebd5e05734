"""The training loop behind pretraining and meta-training, which survives interruption.

Start with :func:`~metaselector.training.loop.train.train`. It resumes from a
:mod:`~metaselector.training.loop.snapshot`, and a non-finite loss is a
:class:`~metaselector.training.loop.divergence.Diverged`.
"""
