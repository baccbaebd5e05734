"""One self-contained HTML page on evaluated runs.

Start with :mod:`~metaselector.report.page.write`.
"""
