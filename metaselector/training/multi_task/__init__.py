"""Multi-task training: how task losses and gradients are balanced.

Start with :mod:`~metaselector.training.multi_task.objective`.
"""
