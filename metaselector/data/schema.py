"""What the ids of an encoded data set mean."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from metaselector.errors import DataError

PADDING_ID = 0


Kind = Literal["categorical", "multivalued", "sequence", "profile"]


class Field(BaseModel):
    """One feature of a row and its place in the shared id space.

    Its out-of-vocabulary id is ``first_id``; the i-th word of the vocabulary has id
    ``first_id + 1 + i``.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    slots: int
    first_id: int
    vocabulary: tuple[str, ...]

    @property
    def num_ids(self) -> int:
        return len(self.vocabulary) + 1

    def encoder(self) -> dict[str, int]:
        """Word to id; words that are absent take ``first_id``."""
        return {word: self.first_id + 1 + i for i, word in enumerate(self.vocabulary)}


class Schema(BaseModel):
    """The fields of an encoded data set, in slot order, and how its label was made."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    dataset: str
    label_threshold: float
    history_length: int
    windows: tuple[int, int, int]
    fields: tuple[Field, ...]

    @property
    def num_ids(self) -> int:
        """Rows that a table indexed by ids needs, padding included (V)."""
        return 1 + sum(field.num_ids for field in self.fields)

    @property
    def num_slots(self) -> int:
        """C."""
        return sum(field.slots for field in self.fields)

    @property
    def slot_fields(self) -> list[int]:
        """Field index of every slot, length C."""
        return [i for i, field in enumerate(self.fields) for _ in range(field.slots)]

    def first_slot(self, name: str) -> int:
        """Index of the first slot of the field called `name`."""
        position = 0
        for field in self.fields:
            if field.name == name:
                return position
            position += field.slots
        raise KeyError(name)

    def word(self, id_: int) -> str:
        """Human-readable ``field=word`` of an id, the inverse of encoding."""
        if id_ == PADDING_ID:
            return "(padding)"
        for field in self.fields:
            if field.first_id <= id_ < field.first_id + field.num_ids:
                offset = id_ - field.first_id
                return f"{field.name}={field.vocabulary[offset - 1] if offset else '(unseen)'}"
        raise KeyError(id_)

    @classmethod
    def load(cls, path: Path) -> Schema:
        """Read `path`; raises :class:`DataError` where it is missing or damaged."""
        try:
            return cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                path, "no prepared data set here; run `metaselector data prepare`"
            ) from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise DataError(
                path, "not a schema this version can read; run `metaselector data prepare` again"
            ) from error
