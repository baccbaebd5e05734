"""MetaSelector: user-level adaptive model selection for recommenders."""

__version__ = "0.1.0"
