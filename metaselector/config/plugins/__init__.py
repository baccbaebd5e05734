"""What a name in a setting may stand for: built in, from another package, or from a file.

Start with :mod:`~metaselector.config.plugins.kinds`, which lists the kinds of plug-ins.
"""
