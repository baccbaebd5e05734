"""Check what the engine relies on when it gives a model small tables with only the needed rows."""

from __future__ import annotations

import copy

import torch
from torch.func import functional_call

from metaselector.common.errors import nearest
from metaselector.data.encoded.batch import Batch
from metaselector.testing.subject import ROWS, Subject


def tables_are_parameters(subject: Subject) -> None:
    """Every table is in ``named_parameters()`` and has one row per id."""
    params = subject.params
    for table in getattr(subject.model, "tables", ()):
        if table not in params:
            subject.fail(f"tables lists '{table}', not a parameter; {nearest(table, params)}")
        if len(params[table]) != subject.schema.num_ids:
            subject.fail(
                f"table '{table}' has {len(params[table])} rows; it must have num_ids "
                f"({subject.schema.num_ids} here)"
            )


def padding_counts_for_nothing(subject: Subject) -> None:
    """Padding, id 0 with value 0, does not change logits."""
    model = copy.deepcopy(subject.model)
    with torch.no_grad():
        for table in getattr(model, "tables", ()):
            model.get_parameter(table)[0] = 1e3
    batch = subject.batch(ROWS)
    subject.compare(
        model(batch).detach(),
        subject.model(batch).detach(),
        "row 0 of its tables, which padding reads, changes logits; multiply by the values, which "
        "are 0 for padding, or mask id 0",
    )


def ids_index_tables_only(subject: Subject) -> None:
    """Tables with only the touched rows, reordered and with remapped ids, give equal logits."""
    batch, params = subject.batch(ROWS), subject.params
    declared = set(getattr(subject.model, "tables", ()))
    touched = batch.ids.unique()
    touched = touched[touched != 0]
    order = torch.randperm(len(touched), generator=subject.generator())
    kept = torch.cat([torch.zeros(1, dtype=torch.int64), touched[order]])  # id 0 stays 0
    place = torch.zeros(subject.schema.num_ids, dtype=torch.int64)
    place[kept] = torch.arange(len(kept))
    small = {name: p[kept] if name in declared else p for name, p in params.items()}
    rows = subject.schema.num_ids
    forgotten = sorted(n for n, p in params.items() if n not in declared and p.shape[:1] == (rows,))
    advice = (
        f"; {', '.join(forgotten)} has one row per id: add it to `tables`"
        if forgotten
        else "; index tables with the unchanged ids, and use ids for nothing else"
    )
    where = "with tables of only the batch's rows and remapped ids"
    try:
        logits = functional_call(subject.model, small, (Batch(place[batch.ids], batch.values),))
    except Exception as error:
        subject.fail(f"forward fails {where} ({type(error).__name__}: {error}){advice}", error)
    subject.compare(
        logits.detach(),
        subject.model(batch).detach(),
        f"{where}, logits differ{advice}",
    )
