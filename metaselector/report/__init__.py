"""Tables, figures and one HTML page, made from a run's files.

Start with :mod:`~metaselector.report.summary`.
"""
