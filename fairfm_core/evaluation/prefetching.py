"""Tells the processor which row a scan will read soon, so that it need not wait for it.

The scans visit images by score, so the weights of their patients lie anywhere in memory.
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
