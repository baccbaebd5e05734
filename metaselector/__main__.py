"""``python -m metaselector``."""

from metaselector.cli import main

main()
