"""Tensors in tuples, named tuples, lists and dictionaries; None stands for no tensor."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from typing import Any

from torch import Tensor

Tree = Any
"""A tensor, None, or a tuple, named tuple, list or dictionary of trees."""


def flatten(tree: Tree) -> tuple[list[Tensor], Hashable]:
    """The tensors of a tree, and a description for :func:`unflatten`.

    Raises:
        TypeError: there is something else in it.

    Example:
        >>> import torch
        >>> leaves, spec = flatten({"a": torch.ones(1), "b": (torch.zeros(1), None)})
        >>> unflatten(spec, iter(leaves))
        {'a': tensor([1.]), 'b': (tensor([0.]), None)}
    """
    if isinstance(tree, Tensor):
        return [tree], Tensor
    if tree is None:
        return [], None
    if isinstance(tree, Mapping):
        kind: Hashable = tuple(tree)
        items = list(tree.values())
    elif isinstance(tree, tuple | list):
        kind, items = type(tree), list(tree)
    else:
        raise TypeError(f"{type(tree).__name__} is no tree of tensors")
    leaves, specs = [], []
    for item in items:
        more, spec = flatten(item)
        leaves += more
        specs.append(spec)
    return leaves, (kind, tuple(specs))


def unflatten(spec: Any, leaves: Iterator[Tensor]) -> Tree:
    """The tree with other tensors."""
    if spec is Tensor:
        return next(leaves)
    if spec is None:
        return None
    kind, specs = spec
    items = [unflatten(of, leaves) for of in specs]
    if isinstance(kind, tuple):
        return dict(zip(kind, items, strict=True))
    return kind(items) if kind in (tuple, list) else kind(*items)


def detached(tree: Tree) -> Tree:
    """The tree without gradients, and without what they would need in memory.

    Example:
        >>> import torch
        >>> detached((torch.ones(1, requires_grad=True) * 2, None))
        (tensor([2.]), None)
    """
    leaves, spec = flatten(tree)
    return unflatten(spec, (leaf.detach() for leaf in leaves))
