"""The training loop of pre-training and meta-training: epochs of steps, resumable at any step.

:mod:`train` runs the loop on a :mod:`trainable`, :mod:`snapshot` holds the state to resume from,
:mod:`snapshot_manager` saves it, :mod:`interruption` handles Ctrl-C, and :mod:`divergence` explains
a non-finite loss.
"""
