"""The inner loop: the rule of one step, what adapts, and the engines that run it for many users.

Start with :mod:`~metaselector.meta.adapt.rules`, then
:mod:`~metaselector.meta.adapt.adaptation`.
"""
