"""What `fairfm power` prints and writes: power.csv, and power_figure as pdf, svg, png and csv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from analysis.paper.outputs import written
from analysis.power.figure import power_figure
from analysis.power.findings import PowerRequest, power_rows
from analysis.power.text import power_text


def write_power(request: PowerRequest, out: Path) -> Iterator[str]:
    """The text, then the path of each file in `out`; BadInput where they cannot be written."""
    rows = power_rows(request)
    yield "\n\n".join(power_text(request, rows)) + "\n"
    files = {"power.csv": rows.to_csv(index=False, lineterminator="\n").encode()}
    files |= power_figure(request, rows).files("power_figure")
    for name, content in files.items():
        yield f"wrote {written(out, name, content)}"
