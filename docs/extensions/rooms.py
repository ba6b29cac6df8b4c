"""The directive `{rooms} PACKAGE...`: the documented names of every module of some rooms.

With the tag `no_modules` it is empty: what stands in docstrings takes four fifths of the build.
"""

from __future__ import annotations

from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

ROOT = Path(__file__).parents[2]
WITHOUT = "no_modules"
"""The tag of a build without the modules."""


def modules(room: str) -> list[str]:
    """Dotted names of a room's modules; `package.*` means those beside the package's folders."""
    place = ROOT / room.removesuffix(".*").replace(".", "/")
    files = sorted(place.glob("*.py") if room.endswith(".*") else place.rglob("*.py"))
    names = [".".join(f.relative_to(ROOT).with_suffix("").parts) for f in files]
    return [name for name in names if not name.endswith(("__init__", "__main__"))]


class Rooms(SphinxDirective):
    """A heading and the public names of each module."""

    required_arguments = 1
    final_argument_whitespace = True

    def run(self) -> list[nodes.Node]:
        if self.env.app.tags.has(WITHOUT):
            return []
        lines: list[str] = []
        for module in (name for room in self.arguments[0].split() for name in modules(room)):
            lines += [f"## `{module}`", "", "```{eval-rst}", f".. automodule:: {module}", "```", ""]
        return self.parse_text_to_nodes("\n".join(lines), allow_section_headings=True)


def setup(app: Sphinx) -> dict[str, bool]:
    """Register the directive."""
    app.add_directive("rooms", Rooms)
    return {"parallel_read_safe": True}
