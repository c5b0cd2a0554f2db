"""Vectors of pixels for functions compiled by numba: the same operation on several neighbouring pixels at a time.

numba has no type for a vector of the processor, and the compiler vectorises innermost loops only. Here, a value of the type
`LANES` holds one float32 for each of `COUNT` pixels, and the layers of a network become loops over such values, whose sums
stay in registers. The operations of a pixel and their order do not depend on the other pixels of the vector.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.datamodel import models
from numba.extending import intrinsic, register_model
from numpy.typing import NDArray
from torch import Tensor

from bocage.machine import compiled as compiled_with

compiled = partial(compiled_with, uses=(Path(__file__),))
"""Decorator of functions that contain operations of this module."""


def instructions() -> dict[str, bool]:
    """Return the instructions that numba compiles for: those of the processor, or of NUMBA_CPU_FEATURES if it is set."""
    said = os.environ.get("NUMBA_CPU_FEATURES", "")
    if said:
        return {one.strip()[1:]: one.strip().startswith("+") for one in said.split(",") if one.strip()}
    return dict(llvmlite.binding.get_host_cpu_features())


_FEATURES = instructions()
USABLE = not llvmlite.binding.get_default_triple().startswith(("x86_64", "i686")) or (
    _FEATURES.get("avx2", False) and _FEATURES.get("fma", False)
)
"""Whether the processor multiplies and adds in one instruction; without, the layers of PyTorch are faster."""
COUNT = 16 if _FEATURES.get("avx512f", False) else 8
"""Pixels in a vector: those of one register."""
LOWEST = -87.0
"""Argument of the exponential function below which the result is no normal number in float32, and 0 here."""


class _Lanes(types.Type):
    def __init__(self) -> None:
        super().__init__(name=f"float32x{COUNT}")


LANES = _Lanes()
_FLOATS = ir.VectorType(ir.FloatType(), COUNT)
_INTS = ir.VectorType(ir.IntType(32), COUNT)


class _Model(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _FLOATS)  # type: ignore[no-untyped-call]


register_model(_Lanes)(_Model)


def _pointer(context: Any, builder: Any, kind: Any, array: Any, at: Any) -> Any:
    """Return the address of element `at` of a contiguous array, without checks."""
    data = context.make_array(kind)(context, builder, array).data
    return builder.gep(data, [at])


def _spread(builder: Any, value: Any) -> Any:
    first = builder.insert_element(ir.Constant(_FLOATS, ir.Undefined), value, ir.Constant(ir.IntType(32), 0))
    zeros = ir.Constant(_INTS, [0] * COUNT)
    return builder.shuffle_vector(first, ir.Constant(_FLOATS, ir.Undefined), zeros)


def _same(value: float) -> Any:
    return ir.Constant(_FLOATS, [float(np.float32(value))] * COUNT)


def _call(builder: Any, name: str, *arguments: Any) -> Any:
    """Call an operation of LLVM on vectors."""
    kind = ir.FunctionType(_FLOATS, [_FLOATS] * len(arguments))
    function = cgutils.get_or_insert_function(builder.module, kind, f"{name}.v{COUNT}f32")  # type: ignore[no-untyped-call]
    return builder.call(function, arguments)


def _load(_: Any, array: Any, at: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _pointer(context, builder, signature.args[0], *arguments)
        return builder.load(builder.bitcast(address, _FLOATS.as_pointer()), align=4)

    return LANES(array, types.intp), generate


def _store(_: Any, array: Any, at: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _pointer(context, builder, signature.args[0], *arguments[:2])
        builder.store(arguments[2], builder.bitcast(address, _FLOATS.as_pointer()), align=4)
        return context.get_dummy_value()

    return types.void(array, types.intp, LANES), generate


def _flags(_: Any, array: Any, at: Any) -> Any:
    """Load bytes of 0 and 1 as numbers."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.VectorType(ir.IntType(8), COUNT)
        address = _pointer(context, builder, signature.args[0], *arguments)
        return builder.uitofp(builder.load(builder.bitcast(address, kind.as_pointer()), align=1), _FLOATS)

    return LANES(array, types.intp), generate


def _add_scaled(_: Any, total: Any, value: Any, array: Any, at: Any) -> Any:
    """Total + value · array[at], rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address = _pointer(context, builder, signature.args[2], *arguments[2:])
        factor = _spread(builder, builder.load(address, align=4))
        return _call(builder, "llvm.fma", arguments[1], factor, arguments[0])

    return LANES(LANES, LANES, array, types.intp), generate


def _add_product(_: Any, total: Any, a: Any, b: Any) -> Any:
    """Total + a · b, rounded once."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.fma", arguments[1], arguments[2], arguments[0])

    return LANES(LANES, LANES, LANES), generate


def _all(_: Any, array: Any, at: Any) -> Any:
    """Element `at` of an array, for all pixels."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, builder.load(_pointer(context, builder, signature.args[0], *arguments), align=4))

    return LANES(array, types.intp), generate


def _constant(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _spread(builder, arguments[0])

    return LANES(types.float32), generate


def _binary(operation: str) -> Any:
    def typed(_: Any, a: Any, b: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, operation)(*arguments)

        return LANES(LANES, LANES), generate

    return typed


def _largest(_: Any, a: Any, b: Any) -> Any:
    """The larger of two values; NaN if the first one is NaN."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered("<", a, b), b, a)

    return LANES(LANES, LANES), generate


def _smallest(_: Any, a: Any, b: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered("<", a, b), a, b)

    return LANES(LANES, LANES), generate


def _where(_: Any, condition: Any, a: Any, b: Any) -> Any:
    """`a` where the condition is above 0, else `b`."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        condition, a, b = arguments
        return builder.select(builder.fcmp_ordered(">", condition, _same(0)), a, b)

    return LANES(LANES, LANES, LANES), generate


def _root(_: Any, value: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _call(builder, "llvm.sqrt", arguments[0])

    return LANES(LANES), generate


def _exponential(_: Any, value: Any) -> Any:
    """Exponential of values of at most 0: 2 to a whole power, times a polynomial of the rest (relative error below 2e-7).

    It is 0 below `LOWEST`, so that a masked date has the same effect as a date that is skipped.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        lowest = _same(LOWEST)
        above = builder.fcmp_ordered(">", arguments[0], lowest)
        x = builder.select(above, arguments[0], lowest)
        whole = _call(builder, "llvm.rint", builder.fmul(x, _same(1 / np.log(2))))
        high = 0.693359375  # few digits, so that the product is exact
        rest = _call(builder, "llvm.fma", whole, _same(-high), x)
        rest = _call(builder, "llvm.fma", whole, _same(high - np.log(2)), rest)
        result = _same(1 / 5040)
        for factorial in (720, 120, 24, 6, 2, 1, 1):
            result = _call(builder, "llvm.fma", result, rest, _same(1 / factorial))
        bits = builder.add(builder.fptosi(whole, _INTS), ir.Constant(_INTS, [127] * COUNT))
        power = builder.bitcast(builder.shl(bits, ir.Constant(_INTS, [23] * COUNT)), _FLOATS)
        return builder.select(above, builder.fmul(result, power), _same(0))

    return LANES(LANES), generate


def _any(_: Any, array: Any, at: Any) -> Any:
    """Whether one of the bytes is not 0."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = ir.IntType(8 * COUNT)
        address = _pointer(context, builder, signature.args[0], *arguments)
        found = builder.load(builder.bitcast(address, kind.as_pointer()), align=1)
        return builder.icmp_unsigned("!=", found, ir.Constant(kind, 0))

    return types.boolean(array, types.intp), generate


def _operations(*definitions: Any) -> Iterator[Any]:
    """Yield the operations for compiled functions; they are of no type that Python knows."""
    yield from map(intrinsic, definitions)


load, store, flags, any_of = _operations(_load, _store, _flags, _any)
everywhere, constant = _operations(_all, _constant)
add_scaled, add_product, where = _operations(_add_scaled, _add_product, _where)
largest, smallest = _operations(_largest, _smallest)
plus, minus, times, over = _operations(*map(_binary, ("fadd", "fsub", "fmul", "fdiv")))
root, exponential = _operations(_root, _exponential)


def block(places: int, outputs: int, rectified: bool = False) -> Any:
    """Return an operation that computes a layer for some places and outputs, whose sums stay in registers.

    A place is a vector of inputs, as those of a pixel inside the map pixels: a weight that is loaded serves all places. The
    operation has four arguments: (array, list of starts, number of inputs after each start, distance of the places), (weights in
    eights, position of the first), (bias, position of the first), and (array of the results, position of the first, distance
    of the places). The results of a place are neighbours, and 0 at least if `rectified`.
    """

    def typed(_: Any, source: Any, weight: Any, bias: Any, out: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            made = _Block(context, builder, *_parts(builder, signature.args, arguments))
            sums = made.started(places, outputs)
            made.add(sums, places, outputs)
            made.write(sums, rectified)
            return context.get_dummy_value()

        return types.void(source, weight, bias, out), generate

    return intrinsic(typed)


@dataclass(frozen=True)
class _Block:
    """Generates the instructions of :func:`block`; an array is its type and its value."""

    context: Any
    builder: Any
    source: Any
    weight: Any
    bias: Any
    out: Any

    def started(self, places: int, outputs: int) -> dict[tuple[int, int], Any]:
        """Return the sums of each place and output, which the compiler keeps in registers; they are the bias."""
        (bias, first), sums = self.bias, {}
        for cell in product(range(places), range(outputs)):
            sums[cell] = cgutils.alloca_once(self.builder, _FLOATS)  # type: ignore[no-untyped-call]
            self.builder.store(self._scalar(bias, self._moved(first, cell[1])), sums[cell])
        return sums

    def add(self, sums: dict[tuple[int, int], Any], places: int, outputs: int) -> None:
        """Add the products of all inputs and weights."""
        builder, (values, starts, inputs, beside), (weights, k) = self.builder, self.source, self.weight
        count = self.context.make_array(starts[0])(self.context, builder, starts[1]).nitems
        with cgutils.for_range(builder, count, intp=k.type) as run:
            start, row = builder.load(self._address(starts, run.index)), builder.mul(run.index, inputs)
            with cgutils.for_range(builder, inputs, intp=k.type) as one:
                here, there = self._moved(start, one.index, COUNT), self._moved(k, builder.add(row, one.index), 8)
                own = [builder.load(self._vector(values, self._moved(here, beside, p)), align=4) for p in range(places)]
                for j in range(outputs):
                    factor = self._scalar(weights, self._moved(there, j))
                    for p in range(places):
                        total = builder.load(sums[p, j])
                        builder.store(_call(builder, "llvm.fma", own[p], factor, total), sums[p, j])

    def write(self, sums: dict[tuple[int, int], Any], rectified: bool) -> None:
        """Write the sums, 0 at least if `rectified`."""
        builder, (out, at, away) = self.builder, self.out
        for (p, j), kept in sums.items():
            total = builder.load(kept)
            if rectified:  # NaN remains, as in PyTorch
                total = builder.select(builder.fcmp_ordered("<", total, _same(0)), _same(0), total)
            builder.store(total, self._vector(out, self._moved(self._moved(at, away, p), j * COUNT)), align=4)

    def _address(self, array: Any, place: Any) -> Any:
        return _pointer(self.context, self.builder, array[0], array[1], place)

    def _vector(self, array: Any, place: Any) -> Any:
        return self.builder.bitcast(self._address(array, place), _FLOATS.as_pointer())

    def _scalar(self, array: Any, place: Any) -> Any:
        return _spread(self.builder, self.builder.load(self._address(array, place), align=4))

    def _moved(self, first: Any, distance: Any, times: int = 1) -> Any:
        distance = ir.Constant(first.type, distance) if isinstance(distance, int) else distance
        return self.builder.add(first, self.builder.mul(distance, ir.Constant(first.type, times)))


def _parts(builder: Any, kinds: Any, groups: Any) -> Iterator[list[Any]]:
    """Yield the elements of each tuple."""
    for kind, group in zip(kinds, groups, strict=True):
        values = [builder.extract_value(group, i) for i in range(len(kind.types))]
        pairs = zip(kind.types, values, strict=True)
        yield [(own, value) if isinstance(own, types.Array) else value for own, value in pairs]


def in_eights(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a matrix (inputs, outputs) as (outputs / 8, inputs, 8): the order in which a layer reads it, padded by 0."""
    inputs, outputs = matrix.shape
    padded = np.zeros((inputs, -(-outputs // 8) * 8), np.float32)
    padded[:, :outputs] = matrix
    return np.ascontiguousarray(padded.reshape(inputs, -1, 8).transpose(1, 0, 2))


def padded(bias: Tensor) -> NDArray[np.float32]:
    """Return a bias with zeros up to a multiple of eight outputs."""
    padded = np.zeros(-(-len(bias) // 8) * 8, np.float32)
    padded[: len(bias)] = array(bias)
    return padded


def array(tensor: Tensor) -> NDArray[np.float32]:
    """Return the values of a tensor, in the order of its axes."""
    return tensor.detach().contiguous().numpy()


def bytes_of(valid: Tensor) -> NDArray[np.uint8]:
    """Return a mask as bytes of 0 and 1, in the order of its axes."""
    return valid.contiguous().numpy().view(np.uint8)


@compiled
def room(count: int) -> Any:
    """Return uninitialised room for `count` vectors, which begins with a cache line: a vector in two lines is loaded twice."""
    values = np.empty((count + 1) * COUNT, np.float32)
    first = (-values.ctypes.data % (4 * COUNT)) // 4
    return values[first : first + count * COUNT]


_one, _one_rectified = block(1, 8), block(1, 8, rectified=True)


@compiled
def linear(source: Any, starts: Any, inputs: int, weight: Any, bias: Any, out: Any) -> None:
    """Write bias + source · weight of all outputs to `out`; the inputs are `inputs` vectors from each of `starts`."""
    for o in range(0, 8 * weight.shape[0], 8):
        _one((source, starts, inputs, 0), (weight, o * inputs * len(starts)), (bias, o), (out, o * COUNT, 0))


@compiled
def rectified(source: Any, starts: Any, inputs: int, weight: Any, bias: Any, out: Any) -> None:
    """Write the same as `linear`, 0 at least."""
    for o in range(0, 8 * weight.shape[0], 8):
        _one_rectified((source, starts, inputs, 0), (weight, o * inputs * len(starts)), (bias, o), (out, o * COUNT, 0))


@compiled
def normalise(vector: Any, scale: Any, shift: Any, width: int) -> None:
    """Replace `width` values of each pixel by their layer normalisation."""
    total, squares, count = constant(np.float32(0)), constant(np.float32(0)), constant(np.float32(width))
    for w in range(width):
        total = plus(total, load(vector, w * COUNT))
    mean = over(total, count)
    for w in range(width):
        far = minus(load(vector, w * COUNT), mean)
        squares = add_product(squares, far, far)
    spread = root(plus(over(squares, count), constant(np.float32(1e-5))))
    for w in range(width):
        normed = over(minus(load(vector, w * COUNT), mean), spread)
        store(vector, w * COUNT, add_scaled(everywhere(shift, w), normed, scale, w))
