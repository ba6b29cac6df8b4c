"""Two processor instructions that numba does not offer: a prefetch, and a short sum of rows.

`prefetch` asks for the row that a scan will read soon. Scans visit images by score, so the weights
of their patients lie anywhere in memory, and without it every visit waits.

`add_rows` adds a few numbers side by side without asking about overlaps. A loop over so few numbers
is not vectorised automatically: the compiler cannot know that the rows do not overlap.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

AHEAD = 4
"""Visits between the request and the use of a row."""
READ, KEEP, DATA = 0, 3, 1


@intrinsic  # type: ignore[untyped-decorator]
def prefetch(typingctx: Any, array: Any, row: Any, column: Any) -> Any:
    """Ask for the cache line of `array[row, column]`; nothing is read, so nothing can go wrong."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        kind = signature.args[0]
        made = context.make_array(kind)(context, builder, args[0])
        place = cgutils.get_item_pointer(
            context, builder, kind, made, [args[1], args[2]], wraparound=False
        )
        byte = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        function = cgutils.get_or_insert_function(
            builder.module,
            ir.FunctionType(ir.VoidType(), [byte, number, number, number]),
            "llvm.prefetch.p0",
        )
        how = [ir.Constant(number, value) for value in (READ, KEEP, DATA)]
        builder.call(function, [builder.bitcast(place, byte), *how])
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), codegen


WIDTH = 16
"""Numbers added per call: two registers of 512 bits, or four of 256."""


@intrinsic  # type: ignore[untyped-decorator]
def add_rows(
    typingctx: Any, out: Any, to: Any, left: Any, one: Any, right: Any, other: Any, column: Any
) -> Any:
    """`out[to, :WIDTH] = left[one, :WIDTH] + right[other, column : column + WIDTH]`.

    Rows must be contiguous float64 and as wide as that: nothing is checked.
    """

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        several = ir.VectorType(ir.DoubleType(), WIDTH).as_pointer()

        def place(array: int, row: int, column: Any) -> Any:
            kind = signature.args[array]
            made = context.make_array(kind)(context, builder, args[array])
            where = [args[row], column]
            row_start = cgutils.get_item_pointer(
                context, builder, kind, made, where, wraparound=False
            )
            return builder.bitcast(row_start, several)

        first = ir.Constant(ir.IntType(64), 0)
        some = builder.load(place(2, 3, first), align=8)
        more = builder.load(place(4, 5, args[6]), align=8)
        builder.store(builder.fadd(some, more), place(0, 1, first), align=8)
        return context.get_dummy_value()

    places = types.intp
    return types.void(out, places, left, places, right, places, places), codegen
