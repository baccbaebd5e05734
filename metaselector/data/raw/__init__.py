"""File formats: CSV, JSON lines and Parquet, read in blocks and checked.

Start with :mod:`~metaselector.data.raw.file`, which picks the reader by the file's name.
"""
