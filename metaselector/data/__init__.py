"""From raw files to encoded rows, windows of time, and each user's episodes.

Start with :mod:`~metaselector.data.registry`, which finds a data set by name;
:mod:`~metaselector.data.encoded.dataset` holds it once it is encoded.

Who does what:

- DuckDB runs the queries of schemas (:mod:`~metaselector.data.raw.query`), takes JSON apart
  (:mod:`~metaselector.data.raw.json_blocks`), counts rows for ``data describe``
  (:mod:`~metaselector.data.profile.row_log`) and groups the rows of users for ``predict``
  (:mod:`~metaselector.data.preparation.user_table`).
- Arrow parses CSV and reads Parquet, a block at a time (:mod:`~metaselector.data.raw.csv_blocks`,
  :mod:`~metaselector.data.raw.parquet_blocks`).
- Our own are checks with file, line and column (:mod:`~metaselector.data.raw.columns`), codes of
  words (:mod:`~metaselector.data.preparation.codes`), rows in order of user and time
  (:mod:`~metaselector.data.preparation.staging`), windows, histories and slots.
"""
