"""Whether a Ray cluster answers at an address: known in seconds, where Ray tries for minutes."""

from __future__ import annotations

import os
import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, Queue
from typing import Any

import grpc
from ray._private.grpc_utils import init_grpc_channel
from ray._private.services import canonicalize_bootstrap_address
from ray.core.generated.gcs_service_pb2 import CheckAliveRequest
from ray.core.generated.gcs_service_pb2_grpc import NodeInfoGcsServiceStub
from ray.core.generated.ray_client_pb2 import ClusterInfoRequest, ClusterInfoType
from ray.core.generated.ray_client_pb2_grpc import RayletDriverStub

from fairfm_core.errors import BadInput
from sweeps.ray_session.processes import is_reachable

SECONDS = 8.0
"""Longest wait for an answer to a question of Ray's."""
GREETING_SECONDS = 5.0
"""Longest wait for the first bytes of an answer."""
NAME_SECONDS = 5.0
"""Longest wait for the address of a host's name."""
FORM = "give HOST:PORT of the head node's Ray (usually port 6379), ray://HOST:10001, or auto"
CLIENT = "ray://"
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])
"""How a client of HTTP/2, which Ray speaks, begins: its preface and empty settings."""
UNANSWERED = {
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.UNAUTHENTICATED,
}
"""Codes of a server that is not what was asked for, or asks for a token."""
SETTINGS_FRAME = 4
"""Type of the frame with which a server of HTTP/2 answers."""


def check_address(address: str) -> None:
    """Raise BadInput, in one line, unless a Ray cluster answers at the address."""
    if address == "auto":
        return _check_known_cluster()
    if re.match(r"https?://", address):
        raise BadInput(f"{address} is the address of a web page, such as Ray's dashboard; {FORM}")
    place = address.removeprefix(CLIENT)
    if not re.fullmatch(r"[^/\s]+:\d{1,5}", place) or int(place.rsplit(":", 1)[1]) > 65535:
        raise BadInput(f"--address {address!r} is no address of a Ray cluster; {FORM}")
    _check_name(place, address)
    if not is_reachable(place):
        raise BadInput(f"nothing answers at {address}; give the address of a running Ray's head")
    answers = _answers_clients if address.startswith(CLIENT) else _is_healthy
    if not answers(place):
        raise BadInput(
            f"what answers at {address} is no Ray cluster, or one of another version, or it needs "
            f"a token (RAY_AUTH_MODE=token and its RAY_AUTH_TOKEN); {FORM}"
        )


def _check_name(place: str, address: str) -> None:
    """Raise BadInput for a host whose name nobody knows, within seconds, where asking may hang."""
    host = place.rsplit(":", 1)[0].strip("[]")
    known = Queue[bool]()
    threading.Thread(target=lambda: known.put(_is_known(host)), daemon=True).start()
    with suppress(Empty):
        if known.get(timeout=NAME_SECONDS):
            return
    raise BadInput(f"no host is called {host} (--address {address}); is the name right?")


def _is_known(host: str) -> bool:
    try:
        return bool(socket.getaddrinfo(host, None))
    except (OSError, UnicodeError):
        return False


def _check_known_cluster() -> None:
    """Check the cluster that Ray would join by itself, which may have ended long ago."""
    try:
        found = canonicalize_bootstrap_address("auto")
    except (ConnectionError, ValueError, OSError):
        found = None
    if found is None:
        raise BadInput(f"--address auto: no Ray cluster is known on this machine; {FORM}")
    if found != "auto":
        check_address(found)


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


def _answers_clients(place: str) -> bool:
    """Whether a server of Ray's clients answers; Ray itself knows after half a minute."""
    if not _speaks_http2(place):
        return False
    question = ClusterInfoRequest(type=ClusterInfoType.PING)
    return _answers(place, lambda channel: RayletDriverStub(channel).ClusterInfo, question)


def _is_healthy(place: str) -> bool:
    """Whether the servers of a cluster answer."""
    return _speaks_http2(place) and _answers(
        place, lambda channel: NodeInfoGcsServiceStub(channel).CheckAlive, CheckAliveRequest()
    )


def _answers(place: str, method: Callable[[grpc.Channel], Any], question: object) -> bool:
    """Whether a method of Ray's is there; a server of something else does not know it."""
    with init_grpc_channel(place) as channel:
        try:
            method(channel)(question, timeout=SECONDS)
        except grpc.RpcError as error:
            return error.code() not in UNANSWERED
    return True
