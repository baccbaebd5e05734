"""Scripts that regenerate every published number; run one as ``python -m benchmarks.NAME``."""

import os

# Before torch is imported: see `metaselector.cli.main`.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
