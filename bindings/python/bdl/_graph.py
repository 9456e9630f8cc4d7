# SPDX-License-Identifier: Apache-2.0
"""Graphs of layers before they are built: symbolic tensors, and the JSON description that the C library reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, Union

from bdl._described import Described

Number = Union[int, float]


class Symbol:
    """The output of a layer, or an input, of a model that is being described."""

    def __init__(self, layer: Layer | None, inputs: Sequence[Symbol], name: str | None, shape: Sequence[int] = (),
                 index: int = 0) -> None:
        self.layer = layer  # None: an input, of this shape
        self.inputs = tuple(inputs)
        self.name = name
        self.shape = tuple(shape)
        self.index = index
        self.node = self  # of all outputs of one call

    def output(self, index: int) -> Symbol:
        """Output number `index` of a layer with several, such as Split."""
        other = Symbol(self.layer, self.inputs, self.name, self.shape, index)
        other.node = self.node
        return other

    def __add__(self, other: Symbol | Number) -> Symbol:
        return _combine("Add", "AddConstant", self, other)

    __radd__ = __add__

    def __mul__(self, other: Symbol | Number) -> Symbol:
        return _combine("Mul", "MulConstant", self, other)

    __rmul__ = __mul__

    def __sub__(self, other: Symbol | Number) -> Symbol:
        return _combine("Sub", "", self, other) if isinstance(other, Symbol) else self + -other

    def __truediv__(self, other: Symbol | Number) -> Symbol:
        return _combine("Div", "", self, other) if isinstance(other, Symbol) else self * (1 / other)

    def __neg__(self) -> Symbol:
        return self * -1

    def __repr__(self) -> str:
        return f"Input{self.shape}" if self.layer is None else f"output of {self.layer!r}"


def _combine(pair: str, constant: str, left: Symbol, right: Symbol | Number) -> Symbol:
    from bdl.nn import _layers_gen

    if isinstance(right, Symbol):
        layer: Layer = getattr(_layers_gen, pair)()
        return layer(left, right)
    layer = getattr(_layers_gen, constant)(right)
    return layer(left)


def Input(shape: Sequence[int], name: str | None = None) -> Symbol:
    """A symbolic input; `shape` is that of a sample, without the batch axis."""
    return Symbol(None, (), name, tuple(int(d) for d in shape))


class Layer(Described):
    """A layer. Called on symbolic tensors it becomes part of a graph; called again it shares its weights."""

    _ports: ClassVar[str] = "input"

    def __init__(self, name: str | None, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self.name = name
        self.frozen = False

    def freeze(self) -> Layer:
        """Keeps the weights as they are in training."""
        self.frozen = True
        return self

    def __call__(self, *inputs: Symbol | Sequence[Symbol]) -> Symbol:
        flat: list[Symbol] = []
        for given in inputs:
            flat += [given] if isinstance(given, Symbol) else list(given)
        for symbol in flat:
            if not isinstance(symbol, Symbol):
                raise TypeError(
                    f"{type(self).__name__} is called on symbolic tensors (bdl.Input or outputs of layers), got "
                    f"{type(symbol).__name__}; build a model to compute with arrays"
                )
        return Symbol(self, flat, self.name)


class _Names:
    """Names of nodes and inputs: those given, else "conv2d_3" for the third layer, as the C library does."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}  # by id of Symbol.node
        self.owner: dict[int, str] = {}  # by id of layer: the node that has its weights
        self.used: set[str] = set()

    def add(self, symbol: Symbol, fallback: str) -> str:
        name = symbol.name if symbol.name and symbol.name not in self.used else fallback
        self.used.add(name)
        self.of[id(symbol.node)] = name
        return name

    def reference(self, symbol: Symbol) -> str:
        name = self.of[id(symbol.node)]
        return f"{name}:{symbol.index}" if symbol.index else name


def _in_order(outputs: Iterable[Symbol]) -> list[Symbol]:
    """All nodes that the outputs need, each behind its inputs."""
    done: dict[int, Symbol] = {}
    stack = [(symbol.node, False) for symbol in reversed(list(outputs))]
    while stack:
        node, is_ready = stack.pop()
        if id(node) in done:
            continue
        if is_ready:
            done[id(node)] = node
            continue
        stack.append((node, True))
        stack += [(symbol.node, False) for symbol in reversed(node.inputs)]
    return list(done.values())


def _node(symbol: Symbol, layer: Layer, position: int, names: _Names) -> dict[str, Any]:
    name = names.add(symbol, f"{layer._type}_{position}")
    node: dict[str, Any] = {"name": name, "type": layer._type}
    if layer.params:
        node["params"] = layer.params
    node["inputs"] = [names.reference(i) for i in symbol.inputs]
    owner = names.owner.setdefault(id(layer), name)
    if owner != name:
        node["share"] = owner
    elif layer.frozen:
        node["frozen"] = True
    return node


def describe(inputs: Sequence[Symbol], outputs: Sequence[Symbol], name: str) -> dict[str, Any]:
    """The JSON description of a graph."""
    names = _Names()
    entries = []
    for i, symbol in enumerate(inputs):
        names.add(symbol, "input" if len(inputs) == 1 else f"input_{i}")
        entries.append({"name": names.of[id(symbol.node)], "shape": list(symbol.shape)})
    nodes: list[dict[str, Any]] = []
    for symbol in _in_order(outputs):
        if symbol.layer is not None:
            nodes.append(_node(symbol, symbol.layer, len(nodes) + 1, names))
        elif id(symbol.node) not in names.of:
            raise ValueError(f"{symbol!r} is used but is not among the model's inputs")
    return {"name": name, "inputs": entries, "nodes": nodes, "outputs": [names.reference(o) for o in outputs]}
