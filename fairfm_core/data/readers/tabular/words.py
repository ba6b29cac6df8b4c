"""Several words in one cell: separated by a character, or written as a list."""

from __future__ import annotations

import ast

from fairfm_core.errors import BadInput


def separated_words(entry: str, separator: str) -> frozenset[str]:
    """The words of `Mass|Nodule`, without white space around them and without empty ones."""
    return frozenset(word.strip() for word in entry.split(separator)) - {""}


def listed_words(entry: str) -> frozenset[str]:
    """The words of a list as Python or JSON writes it: `['pleural effusion', 'nodule ']`.

    Raises:
        BadInput: text that is not such a list.
    """
    try:
        words = ast.literal_eval(entry)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        words = None
    if not isinstance(words, list | tuple | set):
        raise BadInput(f"{entry!r} is not a list such as ['mass', 'nodule']")
    return frozenset(" ".join(str(word).split()) for word in words) - {""}
