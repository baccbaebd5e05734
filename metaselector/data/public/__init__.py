"""Public data sets: where to download them and how to read them.

Start with :mod:`~metaselector.data.public.movielens`;
:mod:`~metaselector.data.public.sources` lists the downloads.
"""
