"""Figures for print and screen: PDF, SVG and PNG whose bytes depend only on what is drawn."""

from __future__ import annotations

import io
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.backends.backend_pdf import FigureCanvasPdf
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

WIDTH = 6.9
"""Inches: two columns of a journal page."""
STYLE: dict[RcKeyType, Any] = {
    "font.size": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "pdf.fonttype": 42,
    "svg.hashsalt": "fairfm",
    "svg.fonttype": "none",
}
CANVASES = {"pdf": FigureCanvasPdf, "svg": FigureCanvasSVG, "png": FigureCanvasAgg}
FORMS = tuple(CANVASES)
UNDATED = {"pdf": {"CreationDate": None}, "svg": {"Date": None}, "png": {"Software": None}}
DOTS_PER_INCH = {"png": 200}
"""Resolution of what has one."""


def figure_bytes(drawn: Callable[[], Figure], form: str) -> bytes:
    """The figure that `drawn` makes as `pdf`, `svg` or `png`: equal figures give equal bytes.

    Characters that matplotlib's font lacks are boxes in a pdf; an svg holds them as text.
    """
    with mpl.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        figure = drawn()
        CANVASES[form](figure)
        buffer = io.BytesIO()
        figure.savefig(
            buffer, format=form, metadata=UNDATED[form], dpi=DOTS_PER_INCH.get(form, "figure")
        )
    return buffer.getvalue()


def plain_text(text: str) -> str:
    """The text as it is: neither mathematics nor, with a leading underscore, hidden."""
    escaped = text.replace("$", r"\$")
    return f" {escaped}" if escaped.startswith("_") else escaped
