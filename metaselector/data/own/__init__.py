"""A user's own log: its schema in YAML, the reader, and a first draft of the schema.

Start with :mod:`~metaselector.data.own.own_log`.
"""
