"""Scripts that regenerate every published number; each is run as ``python -m benchmarks.NAME``."""
