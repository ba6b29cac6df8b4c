"""Adds a few numbers side by side, the way the processor has it, without asking about overlaps.

A loop over so few numbers is not made into such an addition by itself: the compiler cannot know
that the rows do not overlap.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic

WIDTH = 16
"""Numbers that are added at once: two registers of 512 bits, four of 256."""


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
            found = cgutils.get_item_pointer(context, builder, kind, made, where, wraparound=False)
            return builder.bitcast(found, several)

        first = ir.Constant(ir.IntType(64), 0)
        some = builder.load(place(2, 3, first), align=8)
        more = builder.load(place(4, 5, args[6]), align=8)
        builder.store(builder.fadd(some, more), place(0, 1, first), align=8)
        return context.get_dummy_value()

    places = types.intp
    return types.void(out, places, left, places, right, places, places), codegen
