"""Claims on stages: of several drivers that share a results folder, one does each piece of work.

    claims/<name>.json                who does it: driver, host, process
    claims/drivers/<driver>.json      that driver's heartbeat, a number that grows, and what it does

A claim is made with the name of the stage's fingerprint before a worker gets it, and removed when
the stage has ended. The heartbeat is one small file for all claims of a driver. Nobody compares the
clocks of two machines: a driver counts as dead when its heartbeat has not changed for
`TAKEOVER_SECONDS` of the observer's own clock, or at once when its process on this machine is gone.

On a local disk and on NFS a claim appears by a hard link, which one driver alone can make, and on
S3 by a conditional write. Other object stores have nothing like it in pyarrow: there a claim is
written, and counts if it is still the same after `SETTLE_SECONDS`. Two drivers whose writes are
further apart than that both do the work, as they would without claims. Both end in the same bits,
and publishing is atomic: nothing worse happens.
"""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import secrets
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from fairfm_core.artifacts import ArtifactStore
from fairfm_core.errors import BadInput
from fairfm_core.storage.locks import file_lock
from fairfm_core.storage.markers import parse_object
from fairfm_core.storage.retries import StoreUnavailable
from sweeps.processes import process_status

CLAIMS = "claims"
"""Folder of the claims in a results folder."""
DRIVERS = "drivers"
"""Folder of the heartbeats in it."""
HEARTBEAT_SECONDS = 5.0
"""Between two beats of a driver."""
TAKEOVER_SECONDS = 8 * HEARTBEAT_SECONDS
"""A heartbeat that is unchanged for so long belongs to a dead driver."""
LOOK_SECONDS = 2.0
"""Between two looks at a claim that somebody else holds."""
FORGOTTEN_SECONDS = 600.0
"""Claims whose heartbeat is older are not shown; only shown, so clocks may differ by minutes."""
AHEAD = 8
"""How many claims of a driver in an object store may be settling at the same time."""
SETTLE_SECONDS = 2.0
"""How long a claim in an object store must stay the same before it counts."""


@dataclass(frozen=True)
class Driver:
    """A process that runs a study."""

    token: str
    """Random: process ids and host names are used again."""
    host: str
    machine: str
    """Identity of the running system and its process ids; differs after a restart."""
    pid: int
    started: str
    """When the process began, in ticks of that system: process ids are used again."""

    @property
    def text(self) -> str:
        """Who it is, for people."""
        return f"{self.host}, process {self.pid}"

    @property
    def is_here(self) -> bool:
        """Whether it runs, or ran, on this machine."""
        return self.machine == _machine()

    def is_gone(self) -> bool:
        """Whether the process is known to have ended: only on its own machine."""
        return self.is_here and _began(self.pid) != self.started


UNREADABLE = Driver("0" * 16, "unknown", "", 0, "")
"""Stands for whoever has written a claim that cannot be read."""


def this_driver() -> Driver:
    """This process, as a driver of its own."""
    pid = os.getpid()
    return Driver(secrets.token_hex(8), socket.gethostname(), _machine(), pid, _began(pid))


class Claims:
    """What this driver holds in a store, and what it has seen of others.

    `take` is called by one thread. Its heartbeat is written by another until `close`.
    """

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store
        self.driver = this_driver()
        """This process."""
        self.news: Callable[[], Mapping[str, Any]] = dict
        """What the heartbeat also carries; called by its thread."""
        self._mine: dict[str, float | None] = {}
        """When each claim was written, until it has settled; None once it counts."""
        self._others: dict[str, tuple[float, Driver]] = {}
        """Who holds a claim, and when to look at it again."""
        self._beats: dict[str, tuple[int | None, float, float]] = {}
        """Heartbeat of each other driver, since when it is the same, and when it was last read."""
        self._closed = threading.Event()
        self._beat(0)
        self._thread = threading.Thread(
            target=self._keep_beating, name="fairfm-claims", daemon=True
        )
        self._thread.start()

    def take(self, names: Sequence[str]) -> Driver | None:
        """Claim all of the names or none; returns None when this driver holds them.

        Otherwise returns who holds one of them: another driver, or this one while its claims still
        have to settle. Call it again then.
        """
        unsettled = sum(written is not None for written in self._mine.values())
        if unsettled >= AHEAD and not self._mine.keys() & set(names):
            return self.driver
        for name in sorted(names):  # in the same order by all drivers: none waits for another
            holder = self._take(name)
            if holder is not None and holder != self.driver:
                self.release(names)
                return holder
        return self.driver if any(self._mine[name] is not None for name in names) else None

    def check_conditions(self) -> None:
        """Raise StoreUnavailable for an S3 server that ignores the conditions of a write."""
        objects, place = self._store.objects, self._store.path(*_heartbeat(self.driver))
        if objects is not None and objects.create(place, self._content()):
            raise StoreUnavailable(
                f"{self._store.location}: this storage service ignores conditional writes "
                "(If-None-Match), so two runs could not be told apart; use one that has them"
            )

    def take_or_wait(self, name: str) -> Driver | None:
        """Claim one name, if need be when its holder is known to be dead; None when it is held.

        Otherwise returns the holder, as soon as that has shown a sign of life.
        """
        seen: dict[str, int | None] = {}
        while (holder := self.take([name])) is not None:
            beat = _read_beat(self._store, holder)
            if holder.is_here or seen.setdefault(holder.token, beat) != beat:
                return holder
            time.sleep(LOOK_SECONDS / 2)
        return None

    def release(self, names: Iterable[str]) -> None:
        """Give up claims; those that this driver does not hold stay."""
        for name in [each for each in names if each in self._mine]:
            del self._mine[name]
            with suppress(OSError):
                discard_claim(self._store, name, self.driver)

    def close(self) -> None:
        """Give up every claim and end the heartbeat."""
        self._closed.set()
        self._thread.join()
        self.release(list(self._mine))
        with suppress(OSError):
            self._store.discard(self._store.path(*_heartbeat(self.driver)))

    def __enter__(self) -> Claims:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _take(self, name: str) -> Driver | None:
        """Claim one name; returns who holds it if this driver does not."""
        if name in self._mine:
            return self._settled(name)
        look, holder = self._others.get(name, (0.0, None))
        if holder is not None and time.monotonic() < look:
            return holder
        holder = read_claim(self._store, name)
        if holder is not None and not self._is_dead(holder):
            self._others[name] = (time.monotonic() + LOOK_SECONDS, holder)
            return holder
        self._others.pop(name, None)
        if not (self._store.is_local or self._store.objects):
            self._write(name)
            self._mine[name] = time.monotonic()
            return None
        if self._make(name) if holder is None else self._replace(name, holder):
            self._mine[name] = None
            return None
        return self._take(name)  # somebody else was faster

    def _settled(self, name: str) -> Driver | None:
        written = self._mine[name]
        if written is None or time.monotonic() - written < SETTLE_SECONDS:
            return None
        holder = read_claim(self._store, name)
        if holder == self.driver:
            self._mine[name] = None
            return None
        del self._mine[name]
        return self._take(name)

    def _make(self, name: str) -> bool:
        """Make a claim that nobody holds; False if somebody was faster."""
        objects = self._store.objects
        if objects is None:
            return self._link(name)
        return objects.create(self._store.path(CLAIMS, f"{name}.json"), self._content())

    def _link(self, name: str) -> bool:
        """As `_make` on a disk: a claim is whole from the start."""
        folder = Path(self._store.path(CLAIMS))
        hidden = folder / f".{name}.{self.driver.token}"
        hidden.write_bytes(self._content())
        try:
            os.link(hidden, folder / f"{name}.json")
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in {errno.EPERM, errno.ENOTSUP, errno.EMLINK}:
                raise
            return self._create(folder / f"{name}.json")
        finally:
            hidden.unlink()
        return True

    def _create(self, path: Path) -> bool:
        """As `_link`, on a file system without hard links (exFAT, some network shares)."""
        try:
            with path.open("xb") as stream:
                stream.write(self._content())
        except FileExistsError:
            return False
        return True

    def _replace(self, name: str, dead: Driver) -> bool:
        """Take a claim over from a dead driver; False if somebody was faster."""
        if self._store.objects is not None:
            return _swap(self._store, name, dead, self._content())
        with _locked(self._store):
            if read_claim(self._store, name) != dead:
                return False
            self._write(name)
        return True

    def _write(self, name: str) -> None:
        self._store.write_bytes(self._content(), CLAIMS, f"{name}.json")

    def _content(self) -> bytes:
        return json.dumps(asdict(self.driver)).encode()

    def _is_dead(self, driver: Driver) -> bool:
        if driver.is_gone():
            return True
        value = _read_beat(self._store, driver)
        now = time.monotonic()
        before, since, looked = self._beats.get(driver.token, (None, now, now))
        # After a long time without a look, in which the store may have been away for both, or this
        # process asleep, the other driver gets time to beat again.
        fresh = driver.token not in self._beats or now - looked > TAKEOVER_SECONDS / 2
        if fresh or value != before:
            since = now
        self._beats[driver.token] = (value, since, now)
        return now - since > TAKEOVER_SECONDS

    def _keep_beating(self) -> None:
        number = 1
        while not self._closed.wait(HEARTBEAT_SECONDS):
            with suppress(OSError):  # a full disk ends the run elsewhere
                self._beat(number)
            number += 1

    def _beat(self, number: int) -> None:
        try:
            news = self.news()
        except Exception:  # whatever there is to say, the heart goes on beating
            news = {}
        content = {**news, "beat": number, **asdict(self.driver)}
        self._store.write_json(content, *_heartbeat(self.driver))


def read_claim(store: ArtifactStore, name: str) -> Driver | None:
    """Who holds the claim, or None; whoever wrote something else counts as a dead driver."""
    return _read_driver(store, CLAIMS, f"{name}.json")


def read_heartbeat(store: ArtifactStore, token: str) -> Driver | None:
    """Whose heartbeat it is, or None; UNREADABLE where that is not known."""
    return _read_driver(store, CLAIMS, DRIVERS, f"{token}.json")


def _read_driver(store: ArtifactStore, *parts: str) -> Driver | None:
    try:
        return _parsed_driver(store.read_bytes(*parts))
    except FileNotFoundError:
        return None
    except BadInput:
        return UNREADABLE


def _parsed_driver(content: bytes) -> Driver:
    try:
        driver = TypeAdapter(Driver).validate_python(parse_object(content))
    except ValueError:
        return UNREADABLE
    known = re.fullmatch("[0-9a-f]{16}", driver.token) and driver.host.isprintable()
    return driver if known else UNREADABLE


def discard_claim(store: ArtifactStore, name: str, holder: Driver | None) -> None:
    """Remove a claim if it is still this holder's."""
    if store.objects is not None:
        _swap(store, name, holder, None)
        return
    with _locked(store):
        if read_claim(store, name) == holder:
            store.discard(store.path(CLAIMS, f"{name}.json"))


def _swap(store: ArtifactStore, name: str, holder: Driver | None, content: bytes | None) -> bool:
    """Replace a claim on S3, or remove it, if it is still this holder's; returns whether it was."""
    assert store.objects is not None
    path = store.path(CLAIMS, f"{name}.json")
    try:
        before = store.objects.read(path)
    except FileNotFoundError:
        return False
    if _parsed_driver(before) != holder:
        return False
    if content is None:
        store.objects.remove(path, before)
        return True
    return store.objects.replace(path, content, before)


def claimed(store: ArtifactStore, names: Iterable[str]) -> dict[str, Driver]:
    """Who is at work on which of the names, as far as one look can tell."""
    listed = {path.removesuffix(".json") for path in store.files(CLAIMS)}
    holders = {name: read_claim(store, name) for name in sorted(listed.intersection(names))}
    return {name: each for name, each in holders.items() if each and seems_alive(store, each)}


def seems_alive(store: ArtifactStore, driver: Driver, seconds: float = FORGOTTEN_SECONDS) -> bool:
    """Whether a driver has a heartbeat not older than `seconds`, and its process is not gone."""
    written = store.filesystem.get_file_info(store.path(*_heartbeat(driver))).mtime_ns
    recent = written is not None and time.time() - written / 1e9 < seconds
    return recent and not driver.is_gone()


def heartbeats(store: ArtifactStore) -> Iterator[tuple[Driver, Mapping[str, Any]]]:
    """The drivers that seem to be alive, each with the content of its heartbeat."""
    for path in store.files(CLAIMS, DRIVERS):
        token = path.removesuffix(".json")
        driver = read_heartbeat(store, token)
        if driver is not None and driver != UNREADABLE and seems_alive(store, driver):
            with suppress(OSError, BadInput):
                yield driver, store.read_json(CLAIMS, DRIVERS, path)


def _read_beat(store: ArtifactStore, driver: Driver) -> int | None:
    try:
        return int(store.read_json(*_heartbeat(driver))["beat"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _heartbeat(driver: Driver) -> tuple[str, str, str]:
    return CLAIMS, DRIVERS, f"{driver.token}.json"


@contextmanager
def _locked(store: ArtifactStore) -> Iterator[None]:
    """Alone among the drivers that change a claim which exists, where there are file locks."""
    if not store.is_local:
        yield
        return
    with file_lock(Path(store.path(CLAIMS, ".lock")), fcntl.LOCK_EX):
        yield


@cache
def _machine() -> str:
    """Identity of this system since it started, and of its process ids; empty where unknown."""
    with suppress(OSError):
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return f"{boot} {os.readlink('/proc/self/ns/pid')}"
    return ""


def _began(pid: int) -> str:
    """When a process began; empty for one that has ended."""
    status = process_status(pid)
    return "" if status is None else status.began
