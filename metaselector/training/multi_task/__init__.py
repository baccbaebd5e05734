"""Training on several tasks: how their losses and gradients are balanced.

Start with :mod:`~metaselector.training.multi_task.objective`.
"""
