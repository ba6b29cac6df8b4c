"""Errors that a user can fix; the command line prints them as one line and exits with code 2."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

SECRET_KEYS = {"password", "passwd", "pwd", "sslpassword", "token", "secret_key", "session_token"}
"""Keys of a URI's query that hold a secret."""

_USER_INFO = re.compile(r"\b((?!sqlite)[A-Za-z][A-Za-z0-9+.-]*://)[^\s'\"]*@")
_SECRET = re.compile(rf"([?&](?:{'|'.join(sorted(SECRET_KEYS))})=)[^&\s'\"]+", re.IGNORECASE)


class BadInput(ValueError):
    """Invalid input; the message says what was given, what is allowed and how to fix it."""


class BadInputAt(BadInput):
    """Invalid input whose message names it, and where it stands in a file that was read."""

    def __init__(self, message: str, place: tuple[str, ...]) -> None:
        super().__init__(message)
        self.place = place
        """The keys on the way to it."""


@contextmanager
def at_place(*place: str) -> Iterator[None]:
    """Say of invalid input that is found inside the block where it stands."""
    try:
        yield
    except BadInput as error:
        raise BadInputAt(str(error), place) from error


class StageFailed(RuntimeError):
    """A stage cannot finish for a reason that a retry will not change, such as a diverged loss."""


class GpuUnusable(BadInput):
    """A GPU is reserved on a node whose torch cannot use it: training would run on the CPU."""


class Damaged(BadInput):
    """A stored artifact whose content is not what was stored; the message is one line."""

    def __init__(self, kind: str, fingerprint: str, reason: str) -> None:
        super().__init__(kind, fingerprint, reason)
        self.kind, self.fingerprint, self.reason = kind, fingerprint, reason

    def __str__(self) -> str:
        advice = "`fairfm sweep run STUDY` makes it again"
        return f"{self.kind}/{self.fingerprint} is damaged ({self.reason}); {advice}"


class Leaving(Exception):
    """A training has stopped after a checkpoint because its process is to leave; not a failure."""


class BadFile(BadInput):
    """A stored file that cannot be used; the message is its path and the reason."""

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, reason)
        self.path, self.reason = path, reason

    def __str__(self) -> str:
        return f"{self.path} {self.reason}"


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """`" (did you mean 'x'?)"` for the known name nearest to `name`, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" (did you mean {near[0]!r}?)" if near else ""


def in_words(error: OSError) -> str:
    """An error of the system as `path: reason`, without its number.

    Some libraries put path and reason into one text, the path in quotes.
    """
    quoted = re.search(r"'([^']+)'", str(error))
    path = error.filename or (quoted[1] if quoted else "")
    reason = os.strerror(error.errno).lower() if error.errno else str(error)
    return f"{shortened(str(path))}: {reason}" if path else reason


def shortened(text: str, longest: int = 120) -> str:
    """A text with its middle left out if it is long."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}...{text[-longest // 2 :]}"


def first_ten(items: Iterable[object]) -> str:
    """The first ten items, and the number of all if there are more: for lists in error messages."""
    listed = [str(item) for item in items]
    rest = f", ... ({len(listed)} in all)" if len(listed) > 10 else ""
    return ", ".join(listed[:10]) + rest


def redacted(text: str) -> str:
    """Text for people, such as an error of MLflow, with `***` for every user, password and token.

    Covers URIs that are not well-formed too: everything up to the last `@` is replaced.
    """
    return _SECRET.sub(r"\1***", _USER_INFO.sub(r"\1***@", text))
