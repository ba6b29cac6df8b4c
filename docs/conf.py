"""Sphinx: Markdown pages, the command line from click, the Python API from docstrings.

`make docs` builds it offline, with warnings as errors, into build/docs.
"""

from __future__ import annotations

import re
import sys
import textwrap
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

sys.path.insert(0, str(Path(__file__).parent / "extensions"))

project = "fairfm"
copyright = "the fairfm authors, Apache-2.0"
version = release = installed_version("fairfm")
language = "en_GB"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_click",
    "record_fields",
    "rooms",
]
source_suffix = {".md": "markdown"}
myst_heading_anchors = 4

# Headings alone stand in the contents: every page would copy a tree of three thousand functions.
toc_object_entries = False

html_theme = "furo"
html_title = "fairfm"
html_copy_source = False
html_show_sphinx = False
pygments_style = "friendly"

autodoc_member_order = "bysource"
autodoc_default_options = {"members": True}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
autodoc_use_type_comments = False  # there are none, and to look for them takes seconds
napoleon_numpy_docstring = False
# Napoleon takes the words before a colon in an attribute's docstring for a type, and looks them up.
suppress_warnings = ["ref.python"]

# Code in backticks, or a character that is markup in reStructuredText and stands for itself here.
CODE_OR_MARKUP = re.compile(r"`([^`]+)`(?=(\w?))|([*|\\`]|(?<=\w)_(?!\w))")
SECTIONS = re.compile(r"(Args|Returns|Raises|Yields|Attributes|Note|Example)s?:$", re.MULTILINE)


def prose(text: str) -> str:
    """Docstring prose as reStructuredText: code is literal, everything else means itself."""

    def written(match: re.Match[str]) -> str:
        code, after, mark = match.groups()
        return f"\\{mark}" if mark else f"``{code}``" + ("\\ " if after else "")

    return CODE_OR_MARKUP.sub(written, text)


def aligned(block: str) -> bool:
    """Whether a block is laid out by hand, as a table or YAML is: indented, and no list."""
    return re.search(r"\n +\S| {4}", block) is not None and not block.startswith("- ")


def literal(block: str) -> str:
    """The block with its own line breaks and spaces."""
    return "::\n\n" + textwrap.indent(block, "    ")


def plain(app: Sphinx, what: str, name: str, of: object, options: object, lines: list[str]) -> None:
    """Docstrings are plain text: code in backticks, and indented blocks kept as they are."""
    blocks = re.split(r"\n\s*\n", "\n".join(lines))
    sections = [bool(SECTIONS.match(block)) for block in blocks]
    kept = [
        prose(block) if any(sections[: at + 1]) or not aligned(block) else literal(block)
        for at, block in enumerate(blocks)
    ]
    lines[:] = [*"\n\n".join(kept).splitlines(), ""]


class UnknownTypes(SphinxPostTransform):
    """Types of other libraries are looked up once, not in all names that end like them.

    A name can be found only if the last part of a documented name is its own last part.
    """

    default_priority = 5
    """Before Sphinx resolves references (10)."""

    def run(self, **options: object) -> None:
        documented = self.env.domains.python_domain.objects
        known = {name.rpartition(".")[2] for name in documented}
        for node in self.document.findall(addnodes.pending_xref):
            last = node.get("reftarget", "").removesuffix("()").rpartition(".")[2]
            if node.get("refdomain") == "py" and last not in known:
                node.attributes.pop("refspecific", None)


def setup(app: Sphinx) -> None:
    """Docstrings are read as `plain` says, before napoleon sees their sections."""
    app.connect("autodoc-process-docstring", plain, priority=400)
    app.add_post_transform(UnknownTypes)
