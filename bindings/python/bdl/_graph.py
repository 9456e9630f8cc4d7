# SPDX-License-Identifier: Apache-2.0
"""Graphs of layers before they are built: symbolic tensors, and the JSON description that the C library reads."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from numbers import Integral, Real
from typing import Any, ClassVar, Union, cast

from bdl._described import Described
from bdl.errors import BdlInvalidArgumentError, BdlShapeError, BdlUnsupportedError

Number = Union[int, float]


def kind_of(value: object) -> str:
    return f"the class {value.__name__}" if isinstance(value, type) else f"a {type(value).__name__}"


def symbols(given: Symbol | Sequence[Symbol]) -> list[Symbol]:
    """One or several as a list."""
    if isinstance(given, Sequence):
        return list(given)
    return [given]


class Symbol:
    """The output of a layer, or an input, of a model that is being described."""

    __array_ufunc__ = None  # NumPy's arrays leave arithmetic with symbols to them

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
        return self + -other if isinstance(other, Real) else _combine("Sub", "", self, other)

    def __rsub__(self, other: Number) -> Symbol:
        return -self + other

    def __truediv__(self, other: Symbol | Number) -> Symbol:
        return self * (1 / other) if isinstance(other, Real) else _combine("Div", "", self, other)

    def __rtruediv__(self, other: Number) -> Symbol:
        return _layer("Reciprocal")(self) * other

    def __neg__(self) -> Symbol:
        return self * -1

    def __repr__(self) -> str:
        return f"Input{self.shape}" if self.layer is None else f"output of {self.layer!r}"


def _layer(kind: str, *arguments: Number) -> Layer:
    from bdl.nn import _layers_gen

    layer: Layer = getattr(_layers_gen, kind)(*arguments)
    return layer


def _combine(pair: str, constant: str, left: Symbol, right: Symbol | Number) -> Symbol:
    if isinstance(right, Symbol):
        return _layer(pair)(left, right)
    if not isinstance(right, Real):
        return cast(Symbol, NotImplemented)
    return _layer(constant, right)(left)


def Input(shape: Sequence[int], name: str | None = None) -> Symbol:
    """A symbolic input; `shape` is that of a sample, without the batch axis."""
    if isinstance(shape, str) or not isinstance(shape, Sequence) or not all(isinstance(d, Integral) for d in shape):
        raise BdlUnsupportedError(f"an input's shape is whole numbers, such as (3, 224, 224) or (10,); got {shape!r}")
    if any(d < 1 for d in shape):
        raise BdlShapeError(f"an input's sizes must be at least 1, got {tuple(shape)}")
    return Symbol(None, (), name, tuple(int(d) for d in shape))


class Layer(Described):
    """A layer. Called on symbolic tensors it becomes part of a graph; called again it shares its weights."""

    _ports: ClassVar[str] = "input"

    def __init__(self, name: str | None, params: Mapping[str, Any]) -> None:
        super().__init__(params)
        self.name = name
        self.frozen = False

    def _plain(self, name: str, value: Any) -> Any:
        simple = super()._plain(name, value)
        if isinstance(simple, float) and not math.isfinite(simple):  # JSON has no such numbers
            raise BdlInvalidArgumentError(f"{type(self).__name__}: {name} must be a finite number, got {simple}")
        return simple

    def freeze(self) -> Layer:
        """Keeps the weights as they are in training."""
        self.frozen = True
        return self

    def __call__(self, *inputs: Symbol | Sequence[Symbol]) -> Symbol:
        flat: list[Symbol] = []
        for given in inputs:
            flat += symbols(given)
        for symbol in flat:
            if not isinstance(symbol, Symbol):
                raise TypeError(
                    f"{type(self).__name__} is called on symbolic tensors (bdl.Input or outputs of layers), got "
                    f"{kind_of(symbol)}; build a model to compute with arrays"
                )
        return Symbol(self, flat, self.name)


class _Names:
    """Names of nodes and inputs: those given, else "conv2d_3" for the third layer, as the C library does."""

    def __init__(self) -> None:
        self.of: dict[int, str] = {}  # by id of Symbol.node
        self.owner: dict[int, str] = {}  # by id of layer: the node that has its weights
        self.used: set[str] = set()

    def add(self, symbol: Symbol, fallback: str) -> str:
        name = symbol.name if symbol.name and self.owner.get(id(symbol.layer)) != symbol.name else fallback
        if name in self.used:
            raise BdlInvalidArgumentError(f"two layers or inputs have the name '{name}'")
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
    for symbol in [*inputs, *outputs]:
        if not isinstance(symbol, Symbol):
            raise TypeError(f"a model is made from symbolic tensors (bdl.Input, outputs of layers), got {kind_of(symbol)}")
    for i, symbol in enumerate(inputs):
        if symbol.layer is not None:
            raise ValueError(f"{symbol!r} is given as an input of the model; inputs are what bdl.Input gives")
        if id(symbol) in names.of:
            raise ValueError(f"{symbol!r} is given twice as an input of the model")
        names.add(symbol, "input" if len(inputs) == 1 else f"input_{i}")
        entries.append({"name": names.of[id(symbol.node)], "shape": list(symbol.shape)})
    nodes: list[dict[str, Any]] = []
    for symbol in _in_order(outputs):
        if symbol.layer is not None:
            nodes.append(_node(symbol, symbol.layer, len(nodes) + 1, names))
        elif id(symbol.node) not in names.of:
            raise ValueError(f"{symbol!r} is used but is not among the model's inputs")
    return {"name": name, "inputs": entries, "nodes": nodes, "outputs": [names.reference(o) for o in outputs]}
