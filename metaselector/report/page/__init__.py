"""The self-contained HTML page of evaluated runs."""
