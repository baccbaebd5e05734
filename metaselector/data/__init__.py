"""From raw files to encoded rows, windows of time, and each user's episodes.

Start with :mod:`~metaselector.data.registry`, which finds a data set by name;
:mod:`~metaselector.data.encoded.dataset` holds it once it is encoded.
"""
