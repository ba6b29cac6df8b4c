"""Whether a Ray cluster answers at an address: known in seconds, where Ray tries for minutes."""

from __future__ import annotations

import os
import re
import socket
import subprocess
import sys

from fairfm_core.errors import BadInput
from sweeps.ray_session.processes import is_reachable

SECONDS = 15.0
"""Longest wait for Ray's own check."""
GREETING_SECONDS = 5.0
"""Longest wait for the first bytes of an answer."""
FORM = "give HOST:PORT of the head node's Ray (usually port 6379), ray://HOST:10001, or auto"
CLIENT = "ray://"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2, which Ray speaks, begins: its preface and empty settings."""
SETTINGS_FRAME = 4
"""Type of the frame with which a server of HTTP/2 answers."""


def check_address(address: str) -> None:
    """Raise BadInput, in one line, unless a Ray cluster answers at the address."""
    if address == "auto":
        return  # Ray says at once whether it knows of a cluster on this machine
    if re.match(r"https?://", address):
        raise BadInput(f"{address} is the address of a web page, such as Ray's dashboard; {FORM}")
    place = address.removeprefix(CLIENT)
    if not re.fullmatch(r"[^/\s]+:\d{1,5}", place) or int(place.rsplit(":", 1)[1]) > 65535:
        raise BadInput(f"--address {address!r} is no address of a Ray cluster; {FORM}")
    if not is_reachable(place):
        raise BadInput(f"nothing answers at {address}; give the address of a running Ray's head")
    answers = _speaks_http2(place) if address.startswith(CLIENT) else _is_healthy(place)
    if not answers:
        raise BadInput(
            f"what answers at {address} is no Ray cluster, or one of another version, or it needs "
            f"a token (RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN); {FORM}"
        )


def _speaks_http2(place: str) -> bool:
    """Whether a server of HTTP/2 answers; encrypted ones are not asked."""
    if os.environ.get("RAY_USE_TLS", "0") not in ("0", ""):
        return True
    host, port = place.rsplit(":", 1)
    try:
        with socket.create_connection(
            (host.strip("[]"), int(port)), timeout=GREETING_SECONDS
        ) as connection:
            connection.sendall(PREFACE)
            header = connection.recv(9)
    except OSError:
        return False
    return len(header) > 3 and header[3] == SETTINGS_FRAME


def _is_healthy(place: str) -> bool:
    """Whether Ray's own check of a cluster succeeds, which without an answer never ends."""
    if not _speaks_http2(place):
        return False
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", place]
    try:
        done = subprocess.run(command, capture_output=True, timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
