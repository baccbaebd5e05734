"""Progress that remembers what it is told."""

from __future__ import annotations

from metaselector.common.progress import Silent


class Notes(Silent):
    """Prints nothing; keeps the notes, and the descriptions of skipped steps."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.skips: list[str] = []

    def note(self, text: str) -> None:
        self.texts.append(text)

    def skipped(self, description: str) -> None:
        self.skips.append(description)
