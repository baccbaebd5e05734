"""Scripts that regenerate every published number; run one as ``python -m benchmarks.NAME``."""
