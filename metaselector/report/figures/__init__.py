"""Figures of a run, a file for each subject.

Start with :mod:`~metaselector.report.figures.run`, which draws them all.
"""
