"""Vectors of pixels for functions compiled by numba: the same operation on several neighbouring pixels at a time.

numba has no type for a vector of the processor, and the compiler vectorises innermost loops only. Here, a value of the type
`LANES` holds one float32 for each of `COUNT` pixels, and the layers of a network become loops over such values, whose sums
stay in registers. The operations of a pixel and their order do not depend on the other pixels of the vector.
"""

import os
from collections.abc import Iterator
from functools import partial
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
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        a, b = arguments
        return builder.select(builder.fcmp_ordered(">", a, b), a, b)

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

    A place is a vector of inputs, as a date or a pixel inside the map pixels: the weights that are loaded serve all places. The
    operation has these arguments: array and list of starts (one run of `inputs` vectors begins at each), `inputs`, distance of the
    places in the array, weights in eights and the position of the first, bias, the position of the first and the distance of the
    places in it, array of the results, the position of the first and the distance of the places. `rectified`: at least 0.
    """

    def typed(
        _: Any, source: Any, starts: Any, inputs: Any, beside: Any, weight: Any, k: Any, bias: Any, o: Any, apart: Any,
        out: Any, at: Any, away: Any,
    ) -> Any:  # fmt: skip
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            kinds = signature.args
            source, starts, inputs, beside, weight, k, bias, o, apart, out, at, away = arguments
            whole = inputs.type

            def address(number: int, array: Any, place: Any) -> Any:
                return _pointer(context, builder, kinds[number], array, place)

            def vector(number: int, array: Any, place: Any) -> Any:
                return builder.bitcast(address(number, array, place), _FLOATS.as_pointer())

            def moved(first: Any, distance: Any, times: int) -> Any:
                return builder.add(first, builder.mul(distance, ir.Constant(whole, times)))

            cells = [(p, j) for p in range(places) for j in range(outputs)]
            sums = {cell: cgutils.alloca_once(builder, _FLOATS) for cell in cells}
            for p, j in cells:
                place = builder.add(moved(o, apart, p), ir.Constant(whole, j))
                builder.store(_spread(builder, builder.load(address(6, bias, place), align=4)), sums[p, j])
            count = context.make_array(kinds[1])(context, builder, starts).nitems
            with cgutils.for_range(builder, count, intp=whole) as run:
                start, row = builder.load(address(1, starts, run.index)), builder.mul(run.index, inputs)
                with cgutils.for_range(builder, inputs, intp=whole) as one:
                    here = moved(start, one.index, COUNT)
                    values = [builder.load(vector(0, source, moved(here, beside, p)), align=4) for p in range(places)]
                    factor = moved(k, builder.add(row, one.index), 8)
                    for j in range(outputs):
                        spot = address(4, weight, builder.add(factor, ir.Constant(whole, j)))
                        scale = _spread(builder, builder.load(spot, align=4))
                        for p in range(places):
                            total = builder.load(sums[p, j])
                            builder.store(_call(builder, "llvm.fma", values[p], scale, total), sums[p, j])
            for p, j in cells:
                total = builder.load(sums[p, j])
                if rectified:
                    total = builder.select(builder.fcmp_ordered(">", total, _same(0)), total, _same(0))
                place = builder.add(moved(at, away, p), ir.Constant(whole, j * COUNT))
                builder.store(total, vector(9, out, place), align=4)
            return context.get_dummy_value()

        numbers = (types.intp,) * 2
        arguments = (source, starts, *numbers, weight, types.intp, bias, *numbers, out, *numbers)
        return types.void(*arguments), generate

    return intrinsic(typed)


def in_eights(matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a matrix (inputs, outputs) as (outputs / 8, inputs, 8): the order in which a layer reads it, padded by 0."""
    inputs, outputs = matrix.shape
    padded = np.zeros((inputs, -(-outputs // 8) * 8), np.float32)
    padded[:, :outputs] = matrix
    return np.ascontiguousarray(padded.reshape(inputs, -1, 8).transpose(1, 0, 2))
