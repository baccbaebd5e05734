"""The base model under test, and random data for it."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from metaselector.data.encoded.batch import Batch
from metaselector.data.encoded.schema import Field, Kind, Schema
from metaselector.models.registry import construct

ROWS = 6
RTOL, ATOL = 1e-7, 1e-9
"""Tolerances between two computations of the same number in float64."""


@dataclass(frozen=True)
class Subject:
    """The input of every check.

    Attributes:
        cls: class of the model.
        options: constructor options.
        schema: schema of the test data.
        seed: random seed.
        bounded: whether the author says that outputs between 0 and 1 are logits.
    """

    cls: type[nn.Module]
    options: dict[str, Any]
    schema: Schema
    seed: int
    bounded: bool = False

    def fail(self, problem: str, cause: Exception | None = None) -> NoReturn:
        raise AssertionError(f"{self.cls.__name__}: {problem}") from cause

    @property
    def several(self) -> bool:
        """Whether logits have an axis for tasks."""
        return len(self.schema.tasks) > 1

    def fresh(self, seed: int | None = None) -> nn.Module:
        """A new model, built as in a run, in evaluation mode."""
        seed = self.seed if seed is None else seed
        try:
            return construct(self.cls, self.schema, self.options, seed, self.cls.__name__).eval()
        except TypeError as error:
            self.fail(
                f"its constructor fails ({error}); it is called as Class(num_ids, slot_fields, "
                "[tasks,] **options), and options without a default must be passed",
                error,
            )

    @cached_property
    def model(self) -> nn.Module:
        """A model in float64, with noise on all parameters, since initial values may be 0."""
        model = self.fresh().double()
        generator = self.generator()
        with torch.no_grad():
            for p in model.parameters():
                p.add_(0.3 * torch.randn(p.shape, generator=generator, dtype=p.dtype))
        return model

    @property
    def params(self) -> dict[str, Tensor]:
        return {name: p.detach() for name, p in self.model.named_parameters()}

    def run(self, model: nn.Module, batch: Batch, where: str) -> Tensor:
        """Logits of a batch; fails with `where` if forward raises."""
        try:
            logits: Tensor = model(batch)
        except Exception as error:
            self.fail(f"forward fails {where} ({type(error).__name__}: {error})", error)
        return logits

    def compare(self, found: Tensor, expected: Tensor, problem: str) -> None:
        """Fail with `problem` if the tensors differ."""
        try:
            torch.testing.assert_close(found, expected, rtol=RTOL, atol=ATOL)
        except AssertionError as error:
            self.fail(problem + _difference(found, expected), error)

    def generator(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed + 1)

    def batch(self, *shape: int) -> Batch:
        """Random slots ``[*shape, C]``, equal on every call; some are padding."""
        generator = self.generator()
        ids, values = [], []
        for field in self.schema.fields:
            words = (*shape, field.slots)
            drawn = torch.randint(field.num_ids, words, generator=generator) + field.first_id
            numbers = torch.rand(words, generator=generator, dtype=torch.float64) + 0.5
            if field.kind in ("multivalued", "sequence"):
                present = torch.rand(words, generator=generator) < 0.7
                drawn, numbers = drawn * present, numbers * present
            elif field.kind == "categorical":
                numbers = torch.ones_like(numbers)
            ids.append(drawn)
            values.append(numbers)
        return Batch(torch.cat(ids, -1), torch.cat(values, -1))


def schema_for(cls: type[nn.Module]) -> Schema:
    """Schema of small data with all fields of `cls`; two tasks if the constructor takes tasks."""
    kinds: dict[str, tuple[Kind, int, int]] = {  # slots and words
        "user": ("categorical", 1, 4),
        "genres": ("multivalued", 2, 5),
        "item": ("categorical", 1, 6),
        "age": ("numeric", 1, 1),
        "history_items": ("sequence", 3, 6),
    }
    for name in getattr(cls, "fields", {}).values():
        kinds.setdefault(name, ("categorical", 1, 3))
    fields, first = [], 1
    for name, (kind, slots, words) in kinds.items():
        vocabulary = tuple(f"{name}-{i}" for i in range(words))
        fields.append(
            Field(name=name, kind=kind, slots=slots, first_id=first, vocabulary=vocabulary)
        )
        first += words + 1
    several = "tasks" in inspect.signature(cls).parameters
    return Schema(
        dataset="conformance",
        tasks=("click", "buy") if several else ("click",),
        task_after=(-1, 0) if several else None,
        label_threshold=1,
        history_length=3,
        windows=(60, 80, 90),
        fields=tuple(fields),
    )


def _difference(found: Tensor, expected: Tensor) -> str:
    if found.shape != expected.shape:
        return f" (shape {[*found.shape]}, expected {[*expected.shape]})"
    return f" (by up to {(found - expected).abs().max().item():.2g})"
