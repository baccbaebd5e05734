"""The flat list of torch's operations that a function of tensors runs.

``vmap`` and gradients are spelled out in it. See :mod:`~metaselector.models.kernels.replay`.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

_recording = False
_ATEN = torch.ops.aten
_Operation: Any = type(_ATEN.add.Tensor)
_LIFTED = {_ATEN.lift_fresh.default, _ATEN.lift_fresh_copy.default}
"""What makes tensors of Python's numbers."""


class NotRecordable(Exception):
    """The operations may not be the same in every call."""


def is_recording() -> bool:
    """Whether operations are being recorded, so that tensors' values must not be looked at."""
    return _recording


def operations(
    function: Callable[..., Sequence[Tensor]], inputs: Sequence[Tensor], constants: Sequence[Tensor]
) -> fx.GraphModule:
    """The operations of ``function(*inputs)``, without those that repeat others or are not read.

    No operation is in place.

    Args:
        constants: tensors that the function reads besides its inputs.

    Raises:
        NotRecordable: the function draws random numbers, changes a tensor that something else
            reads, has results whose shapes depend on values, or reads other tensors.
    """
    from torch.fx.experimental.proxy_tensor import make_fx  # slow

    global _recording
    _recording = True
    try:
        with torch.random.fork_rng():
            found: fx.GraphModule = make_fx(function)(*inputs)
    finally:
        _recording = False
    known = {tensor.data_ptr() for tensor in constants}
    for node in found.graph.nodes:
        if node.op == "get_attr":
            tensor = getattr(found, node.target)
            if tensor.data_ptr() not in known and any(u.target not in _LIFTED for u in node.users):
                raise NotRecordable("it reads a tensor that is not given")
        elif isinstance(node.target, _Operation):
            _check(node)
            if node.target._schema.is_mutable:
                node.target = _out_of_place(node)
    _shorten(found.graph)
    return found


def _check(node: fx.Node) -> None:
    target: Any = node.target
    if torch.Tag.nondeterministic_seeded in target.tags:
        raise NotRecordable(f"{target} draws random numbers")
    given = node.kwargs.get("output_size") is not None
    if torch.Tag.dynamic_output_shape in target.tags and not given:
        raise NotRecordable(f"the shape of what {target} returns depends on values")


def _out_of_place(node: fx.Node) -> Any:
    """The operation that gives the same without changing its input, which nothing else reads."""
    target: Any = node.target
    changed: Any = node.args[0]
    name, _, overload = target.name().removeprefix("aten::").partition(".")
    other = getattr(_ATEN, name.removesuffix("_"), None)
    if (
        other is None
        or not isinstance(getattr(changed, "target", None), _Operation)
        or len(changed.users) > 1
        or any(returned.alias_info for returned in changed.target._schema.returns)
    ):
        raise NotRecordable(f"{target} changes a tensor in place")
    return getattr(other, overload or "default")


def _shorten(graph: fx.Graph) -> None:
    known: dict[Hashable, fx.Node] = {}
    for node in graph.nodes:
        if node.op != "call_function":
            continue
        if node.target is _ATEN.detach.default:  # there is nothing to detach from
            node.replace_all_uses_with(node.args[0])
            continue
        key = (node.target, _hashable(node.args), _hashable(node.kwargs))
        if known.setdefault(key, node) is not node:
            node.replace_all_uses_with(known[key])
    graph.eliminate_dead_code()


def _hashable(argument: Any) -> Hashable:
    if isinstance(argument, tuple | list):
        return tuple(_hashable(item) for item in argument)
    if isinstance(argument, dict):
        return tuple((key, _hashable(item)) for key, item in argument.items())
    # 1, 1.0 and True are equal, and nan is not equal to itself.
    return type(argument), repr(argument) if isinstance(argument, float) else argument


def divided(found: fx.GraphModule, others: int) -> tuple[fx.GraphModule, fx.GraphModule]:
    """Split into what depends on some of the inputs alone, and the rest.

    Args:
        others: how many inputs do not belong to them; they come first.

    Returns:
        a function of those inputs, and one of all inputs and of the former's results.
    """
    first, then = fx.Graph(), fx.Graph()
    in_first: dict[fx.Node, fx.Node] = {}
    in_then: dict[fx.Node, fx.Node] = {}
    *nodes, output = found.graph.nodes
    inputs = [node for node in nodes if node.op == "placeholder"]
    for i, node in enumerate(inputs):
        in_then[node] = then.node_copy(node)
        if i >= others:
            in_first[node] = first.node_copy(node)
    for node in nodes:
        if node.op != "placeholder" and all(read in in_first for read in node.all_input_nodes):
            in_first[node] = first.node_copy(node, in_first.__getitem__)
    passed = [
        node
        for node in in_first
        if node.op != "placeholder" and any(user not in in_first for user in node.users)
    ]
    for node in passed:
        in_then[node] = then.placeholder(node.name)
    for node in nodes:
        if node not in in_first and node not in in_then:
            in_then[node] = then.node_copy(node, in_then.__getitem__)
    first.output(tuple(in_first[node] for node in passed))
    then.node_copy(output, in_then.__getitem__)
    return fx.GraphModule(found, first), fx.GraphModule(found, then)
