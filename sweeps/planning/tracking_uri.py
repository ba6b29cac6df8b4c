"""MLflow tracking URIs: which forms are accepted, and how they are written without a password."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from fairfm_core.errors import SECRET_KEYS, BadInput, redacted

SERVERS = ("http", "https")
DATABASES = ("postgresql", "mysql", "mssql")


def checked_uri(uri: str) -> str:
    """`uri` unchanged; raises BadInput for a form that MLflow could not write to."""
    allowed = "give http://HOST:PORT, sqlite:///FILE or postgresql://HOST/DATABASE"
    if uri == "databricks" or uri.startswith("databricks://"):
        return uri
    try:
        parts = urlsplit(uri)
        host, _ = parts.hostname, parts.port
    except ValueError:
        raise BadInput(
            f"tracking URI {redacted(uri)!r} has an invalid host or port; in a password, write "
            "@ : / ? # as %40 %3A %2F %3F %23"
        ) from None
    scheme = parts.scheme.split("+")[0]
    if scheme == "sqlite" and sqlite_file(uri) is not None:
        return uri
    if scheme in (*SERVERS, *DATABASES) and host:
        return uri
    raise BadInput(f"tracking URI {redacted(uri)!r} cannot be used: {allowed}")


def sqlite_file(uri: str) -> Path | None:
    """The database file of `sqlite:///FILE`; None for any other URI and for one in memory."""
    match = re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+)(?:\?.*)?", uri)
    return None if match is None or match[1].startswith((":memory:", "file:")) else Path(match[1])


def without_password(uri: str) -> str:
    """The URI as it may be stored and printed.

    A server's URI loses user and password (MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD
    provide them), a database's only the password.
    """
    try:
        parts = urlsplit(uri)
    except ValueError:
        return redacted(uri)
    user_info, at, host = parts.netloc.rpartition("@")
    user = "" if parts.scheme in SERVERS else user_info.split(":")[0]
    query = [(k, v) for k, v in parse_qsl(parts.query) if k.lower() not in SECRET_KEYS]
    if not at and len(query) == len(parse_qsl(parts.query)):
        return redacted(uri)
    stored = parts._replace(netloc=f"{user}@{host}" if user else host, query=urlencode(query))
    return urlunsplit(stored)
