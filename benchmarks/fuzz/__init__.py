"""Damaged, odd and hostile files, and killed processes; see ``__main__``."""
