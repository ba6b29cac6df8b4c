"""The journal of a study's searches: JSON lines, only ever appended to, in the results folder.

    studies/<study>/search.jsonl    a head, then rounds, values and failures, in the order they came

A line that a kill has cut short is dropped when the journal is read: what it said is asked for or
told again, the same. On a disk each addition is synced; an object store gets the whole file anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from analysis.results.study_record import STUDIES
from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadFile, BadInput, shortened
from sweeps.search.history import Line, SearchHistory

JOURNAL = "search.jsonl"
VERSION = 1
"""Version of the lines."""
HALVING = "halving"
"""Key of an identity that may be left out later."""
KEEP = "or give the study another name: nothing that is trained is run again"

Identity = Mapping[str, Any]
"""What a journal belongs to: other values make other configurations."""


@dataclass
class SearchJournal:
    """The journal of one study and what it says."""

    store: ArtifactStore
    study: str
    identity: Identity
    lines: list[Line] = field(default_factory=list)
    """The lines that are stored, without the head."""
    pending: list[Line] = field(default_factory=list)
    """Lines that `write` will add."""
    history: SearchHistory = field(default_factory=SearchHistory)
    """What all lines say, pending ones too."""
    lost: str = ""
    """What a stored journal lacks, in words: empty if it is whole, or not there yet."""
    size: int = 0
    """Bytes of the stored lines that are whole."""

    def add(self, line: Line) -> None:
        """Take up a line, to be written with the next `write`."""
        self.history.add(line)
        self.pending.append(line)

    def write(self) -> None:
        """Append what is pending; it is on the disk when this returns."""
        if not self.pending:
            return
        head = [] if self.size else [self._head()]
        content = b"".join(_encoded(line) for line in [*head, *self.pending])
        if self.store.is_local:
            self._append(content)
        else:
            stored = b"".join(_encoded(line) for line in [self._head(), *self.lines])
            whole = content if head else stored + content
            self.store.write_bytes(whole, STUDIES, self.study, JOURNAL)
        self.size += len(content)
        self.lines += self.pending
        self.pending = []

    def _append(self, content: bytes) -> None:
        path = Path(self.store.path(STUDIES, self.study, JOURNAL))
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("ab") as stream:
            stream.truncate(self.size)  # without a line that was cut short
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        if self.size == 0:
            folder = os.open(path.parent, os.O_RDONLY)
            try:
                os.fsync(folder)
            finally:
                os.close(folder)

    def _head(self) -> Line:
        return {"fairfm search": VERSION, "study": self.study, "identity": dict(self.identity)}


def open_journal(store: ArtifactStore, study: str, identity: Identity) -> SearchJournal:
    """The journal of a study, empty if there is none yet.

    Raises BadInput for a journal of another study, version or search, BadFile for a damaged one.
    """
    journal = SearchJournal(store, study, json.loads(json.dumps(identity)))
    if not store.holds(STUDIES, study, JOURNAL):
        return journal
    place = store.place(STUDIES, study, JOURNAL)
    content = store.read_bytes(STUDIES, study, JOURNAL)
    whole = _whole_lines(content)
    journal.lost, journal.size = _loss(content), sum(len(line) for line in whole)
    read = [_decoded(line, number, place) for number, line in enumerate(whole, start=1)]
    if not read:
        return journal
    _check_head(read[0], journal, place)
    journal.lines = read[1:]
    try:
        journal.history.add_all(journal.lines)
    except (KeyError, TypeError, ValueError) as error:
        raise BadFile(place, f"is damaged ({type(error).__name__}: {error}); {_AWAY}") from error
    return journal


_AWAY = "move it away to search anew; nothing that is trained is run again"


def _whole_lines(content: bytes) -> list[bytes]:
    """The lines that end."""
    lines = content.splitlines(keepends=True)
    return lines if content.endswith(b"\n") else lines[:-1]


def _loss(content: bytes) -> str:
    if not content:
        return "the journal is empty; the search begins again, and what is trained is not run again"
    if not content.endswith(b"\n"):
        return "the last line of the journal was cut short; what it said is found again"
    return ""


def _encoded(line: Line) -> bytes:
    return json.dumps(line, separators=(",", ":"), allow_nan=False).encode() + b"\n"


def _decoded(line: bytes, number: int, place: str) -> Line:
    try:
        values = json.loads(line)
    except ValueError as error:
        raise BadFile(place, f"is damaged (line {number} is not JSON); {_AWAY}") from error
    if not isinstance(values, dict):
        raise BadFile(place, f"is damaged (line {number} is not a mapping); {_AWAY}")
    return values


def _check_head(head: Line, journal: SearchJournal, place: str) -> None:
    version = head.get("fairfm search")
    if version != VERSION:
        what = "has no head" if version is None else f"has version {version!r}, and this is"
        rest = "" if version is None else f" version {VERSION}"
        raise BadInput(f"{place} {what}{rest}; {_AWAY}")
    if head.get("study") != journal.study:
        other = shortened(str(head.get("study")), 60)
        raise BadInput(f"{place} is the journal of study {other!r}, not {journal.study!r}; {_AWAY}")
    before, now = head.get("identity") or {}, journal.identity
    for key in before:  # keys that an earlier version did not have say nothing
        if key == HALVING and key not in now:
            continue  # turned off: what has paused goes on
        if before.get(key) != now.get(key):
            raise BadInput(
                f"{place} is the journal of another search: {key} was {_short(before.get(key))} "
                f"and is {_short(now.get(key))}; change it back, {KEEP}"
            )


def _short(value: Any) -> str:
    return shortened(json.dumps(value), 100)


def read_journal_lines(store: ArtifactStore, study: str) -> Iterable[Line]:
    """The lines of a study's journal whatever search it belongs to; none without one."""
    if not store.holds(STUDIES, study, JOURNAL):
        return []
    place = store.place(STUDIES, study, JOURNAL)
    whole = _whole_lines(store.read_bytes(STUDIES, study, JOURNAL))
    return [_decoded(line, number, place) for number, line in enumerate(whole, start=1)][1:]


def journal_loss(store: ArtifactStore, study: str) -> str:
    """What a study's stored journal lacks, in words; empty if it is whole, or not there."""
    if not store.holds(STUDIES, study, JOURNAL):
        return ""
    return _loss(store.read_bytes(STUDIES, study, JOURNAL))
