"""What every page is made with: the templates, their filters, and data packed into a page."""

from __future__ import annotations

import base64
import gzip
import json
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.wording import axis_title, better, definition_of, short_axis, title_of
from fairfm_core.errors import first_ten


def environment() -> Environment:
    """The templates of pages, with the filters that they use; every name is escaped."""
    templates = Environment(
        loader=PackageLoader("analysis"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    templates.filters |= {
        "title_of": title_of,
        "definition_of": definition_of,
        "short_axis": short_axis,
        "axis_title": axis_title,
        "better": better,
        "first_ten": first_ten,
    }
    return templates


def packed(content: dict[str, Any]) -> str:
    """JSON values as base64 of gzip, which a page's script unpacks: a large study stays a small
    file.

    The same text for the same values. Base64 has no character that ends an HTML element.
    """
    text = json.dumps(content, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return base64.b64encode(gzip.compress(text.encode(), 9, mtime=0)).decode()
