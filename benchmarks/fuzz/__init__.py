"""Damaged, odd and hostile files, and processes that are killed: see ``__main__``."""
