"""Where combining models helps, and why: by user, row, calibration, weights and training records.

Start with :mod:`~metaselector.evaluate.analysis.breakdown`.
"""
