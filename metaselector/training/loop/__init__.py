"""Epochs of steps: the one loop behind pre-training and meta-training, which survives interruption.

:mod:`loop` runs it, :mod:`snapshot` is what it goes on from, :mod:`snapshots` keeps that on disk,
:mod:`interruption` is what Ctrl-C does, and :mod:`divergence` what a loss does that is no number.
"""
