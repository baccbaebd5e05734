"""The schema of an encoded data set: its fields, and the meaning of ids."""

from __future__ import annotations

from itertools import pairwise
from math import isfinite
from pathlib import Path
from typing import Final, Literal

from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from metaselector.common.errors import DataError

PADDING_ID = 0
MAX_SLOTS = 100_000
"""Maximum slots of a row, as rows and models allocate all of them."""

Kind = Literal["categorical", "multivalued", "numeric", "sequence", "profile"]
Owner = Literal["user", "item", "history", "row"]
OWNERS: tuple[Owner, ...] = ("user", "item", "history", "row")
NUMBER = "(number)"
"""The only word of a standardised number."""
VERSION: Final = 3
"""Version that is written. Version 2 had the same fields, but times in seconds."""


class Field(BaseModel):
    """A feature of rows and its place in the shared id space.

    Its out-of-vocabulary id is ``first_id``; the i-th word of the vocabulary has id
    ``first_id + 1 + i``.

    Attributes:
        name: name of the field.
        kind: ``"categorical"`` has one slot with value 1; ``"multivalued"`` and ``"sequence"`` have
            several, with value 1/n for each of n words; ``"profile"`` has a slot per word, with its
            share as the value; ``"numeric"`` has one slot with the word :data:`NUMBER` and the
            standardised number as the value, or the unseen word with value 1 if it is missing. If
            *train* has no values, a numeric field has no word and every value is missing.
        of: owner of the feature; fields are in the order of :data:`OWNERS`.
        slots: number of slots.
        first_id: the out-of-vocabulary id.
        vocabulary: the known words.
        center, scale: values of a ``"numeric"`` field are ``(number - center) / scale``.
        low, high: limits to which numbers are clipped before, see
            :func:`~metaselector.data.preparation.numbers.number_limits`.
        edges: boundaries of buckets: word i stands for numbers from ``edges[i - 1]`` to below
            ``edges[i]``.

    Example:
        >>> words = ("Drama", "War")
        >>> field = Field(name="genre", kind="categorical", slots=1, first_id=1, vocabulary=words)
        >>> field.encoder(), field.num_ids
        ({'Drama': 2, 'War': 3}, 3)
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    kind: Kind
    of: Owner = "row"
    slots: int
    first_id: int
    vocabulary: tuple[str, ...]
    center: float = 0.0
    scale: float = 1.0
    low: float | None = None
    high: float | None = None
    edges: tuple[float, ...] = ()

    @property
    def num_ids(self) -> int:
        return len(self.vocabulary) + 1

    def encoder(self) -> dict[str, int]:
        """Map words to ids; other words take ``first_id``."""
        return {word: self.first_id + 1 + i for i, word in enumerate(self.vocabulary)}


class Schema(BaseModel):
    """The fields of an encoded data set, in slot order, and the settings it was prepared with.

    Attributes:
        version: version of the format.
        dataset: name of the data set.
        tasks: names of the labels.
        task_after: for each task, the index of the earlier task that must be 1 for it to be
            observed, -1 if none; None if all are -1.
        label_threshold: threshold of tasks that set none.
        history_length: slots of the history field.
        min_count: words in fewer rows of *train* count as unseen.
        min_user_rows: users with fewer rows were dropped; None if the setting was off.
        windows: percentages that split each user's rows, the users, or all rows.
        cold_seed: random seed of the split of users; None if rows are split.
        dates: ends of the windows of all users, in microseconds since 1970 UTC; None if rows are
            not split by date.
        dates_given: whether the dates are settings; None if they follow from the percentages.
        lists: whether rows belong to lists, which nothing may cut; None if not.
        min_user_lists: users with fewer lists were dropped; None if the setting was off.
        unknown_at_prediction: fields of rows that rows to predict lack: they have the unseen word.
            None if there are none.
        fields: the fields.

    Example:
        >>> words = ("Drama", "War")
        >>> field = Field(name="genre", kind="categorical", slots=1, first_id=1, vocabulary=words)
        >>> ends = (60, 80, 90)
        >>> schema = Schema(
        ...     dataset="mine", label_threshold=4, history_length=0, windows=ends, fields=(field,)
        ... )
        >>> schema.num_ids, schema.slot_fields
        (4, [0])
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[2, 3] = VERSION
    dataset: str
    tasks: tuple[str, ...] = ("rating",)
    task_after: tuple[int, ...] | None = None
    label_threshold: float
    history_length: int
    min_count: int = 1
    min_user_rows: int | None = None
    windows: tuple[int, int, int]
    cold_seed: int | None = None
    dates: tuple[int, int, int] | None = None
    dates_given: Literal[True] | None = None
    lists: Literal[True] | None = None
    min_user_lists: int | None = None
    unknown_at_prediction: tuple[str, ...] | None = None
    fields: tuple[Field, ...]

    @field_validator("fields")
    @classmethod
    def _in_order(cls, fields: tuple[Field, ...]) -> tuple[Field, ...]:
        owners = [OWNERS.index(field.of) for field in fields]
        if owners != sorted(owners):
            raise ValueError(f"the fields' owners must be in the order {', '.join(OWNERS)}")
        return fields

    @property
    def protocol(self) -> str:
        """The protocol that the data set was prepared for, ``warm``, ``cold`` or ``global``."""
        if self.dates is not None:
            return "global"
        return "warm" if self.cold_seed is None else "cold"

    @property
    def parents(self) -> tuple[int | None, ...]:
        """For each task, the index of the task that must be 1 for it to be observed, or None."""
        if self.task_after is None:
            return (None,) * len(self.tasks)
        return tuple(None if parent < 0 else parent for parent in self.task_after)

    @property
    def num_ids(self) -> int:
        """Number of ids, padding included: rows of an embedding table (V)."""
        return 1 + sum(field.num_ids for field in self.fields)

    @property
    def num_slots(self) -> int:
        """Number of slots of a row (C)."""
        return sum(field.slots for field in self.fields)

    def fields_of(self, owner: Owner) -> tuple[Field, ...]:
        """Fields of an owner, in slot order."""
        return tuple(field for field in self.fields if field.of == owner)

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
        """Decode an id as ``field=word``."""
        if id_ == PADDING_ID:
            return "(padding)"
        for field in self.fields:
            if field.first_id <= id_ < field.first_id + field.num_ids:
                offset = id_ - field.first_id
                return f"{field.name}={field.vocabulary[offset - 1] if offset else '(unseen)'}"
        raise KeyError(id_)

    @classmethod
    def load(cls, path: Path) -> Schema:
        """Read a schema.

        Raises:
            DataError: the file is missing or damaged, or inconsistent, such as two fields with the
                same ids.
        """
        try:
            schema = cls.model_validate_json(path.read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise DataError(
                path, "no prepared data set here; run `metaselector data prepare`"
            ) from error
        except OSError as error:
            raise DataError(path, f"cannot be read ({error.strerror or error})") from error
        except (ValidationError, UnicodeDecodeError) as error:
            raise DataError(
                path, "not a schema this version can read; run `metaselector data prepare` again"
            ) from error
        if problem := _contradiction(schema):
            raise DataError(path, f"{problem}; run `metaselector data prepare` again")
        return schema


def _contradiction(schema: Schema) -> str | None:
    """Describe an inconsistency that preparation would never write, if any."""
    start = PADDING_ID + 1
    for field in schema.fields:
        if problem := _of_field(field, start):
            return f"field '{field.name[:80]}' {problem}"
        start += field.num_ids
    names = [field.name for field in schema.fields]
    before, windows, dates = schema.task_after or (), schema.windows, schema.dates
    for holds, problem in (
        (names, "has no fields"),
        (len(set(names)) == len(names), "two fields have the same name"),
        (schema.num_slots <= MAX_SLOTS, f"has {schema.num_slots} slots, more than {MAX_SLOTS}"),
        (schema.tasks, "has no tasks"),
        (len(set(schema.tasks)) == len(schema.tasks), "two tasks have the same name"),
        (
            schema.task_after is None
            or (
                len(before) == len(schema.tasks) and all(-1 <= a < i for i, a in enumerate(before))
            ),
            "task_after does not name an earlier task, or -1, for each task",
        ),
        (isfinite(schema.label_threshold), "label_threshold is non-finite"),
        (schema.history_length >= 0 < schema.min_count, "a length or count is too small"),
        (
            all(a < b for a, b in pairwise((0, *windows, 100))),
            f"windows are {list(windows)}, not ascending percentages",
        ),
        (
            dates is None or (schema.cold_seed is None and dates[0] < dates[1] < dates[2]),
            "its dates are not ascending, or users are split too",
        ),
        (
            set(schema.unknown_at_prediction or ())
            <= {f.name for f in schema.fields_of("row") if f.kind == "categorical"},
            "unknown_at_prediction names what is not a categorical field of rows",
        ),
    ):
        if not holds:
            return problem
    return None


def _of_field(field: Field, start: int) -> str | None:
    """Describe what is wrong with a field whose ids should start at `start`, if anything."""
    words = len(field.vocabulary)
    slots = {"categorical": 1, "numeric": 1, "profile": words}.get(field.kind)
    for holds, problem in (
        (field.first_id == start, f"has ids from {field.first_id}, not from {start}"),
        (field.slots == slots or (slots is None and field.slots > 0), f"has {field.slots} slots"),
        # Two buckets may have equal words, which are rounded.
        (field.edges or len(set(field.vocabulary)) == words, "has the same word twice"),
        (
            field.kind != "numeric" or field.vocabulary in ((NUMBER,), ()),
            "is numeric but has a vocabulary",
        ),
        (
            isfinite(field.center) and isfinite(field.scale) and field.scale > 0,
            f"has center {field.center} and scale {field.scale}",
        ),
        (
            not field.edges
            or (len(field.edges) == words - 1 and all(a < b for a, b in pairwise(field.edges))),
            "has edges that do not match its words",
        ),
    ):
        if not holds:
            return problem
    return None
