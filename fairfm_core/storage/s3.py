"""Objects on S3 and on servers that speak its protocol, as a pyarrow filesystem.

boto3 does the work: unlike pyarrow's own S3 filesystem it has conditional writes, its errors say
what went wrong, an upload that fails is aborted, and an object takes one request. An object appears
whole or not at all, so nothing is written under a temporary name. Folders exist in names only.

Whatever fails for a while is tried again (`retries`). Credentials, region and endpoint are found as
boto3 finds them everywhere: environment, profile, instance.
"""

from __future__ import annotations

import io
import tempfile
import urllib.parse
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

import pyarrow as pa
from pyarrow import fs

from fairfm_core.errors import BadInput, did_you_mean
from fairfm_core.storage.retries import Outage, StoreUnavailable

if TYPE_CHECKING:
    from collections.abc import Callable

SCHEME = "s3://"
OPTIONS = ("region", "endpoint_override", "scheme")
"""What a URI may say after `?`, as pyarrow's do."""
LARGE = 2**26
"""Bytes from which an object is sent in parts."""
DELETED_AT_ONCE = 1000
CONNECT_SECONDS, READ_SECONDS = 10, 60
"""Longest waits for a connection, and for the next bytes of an answer."""
ATTEMPTS = 3
"""Quick attempts of boto3 itself, so that a large upload does not begin anew for one part."""
MISSING = {"404", "NoSuchKey", "NotFound"}
TAKEN = {"412", "PreconditionFailed"}
PASSING = {
    *("SlowDown", "RequestTimeout", "Throttling", "ThrottlingException", "TooManyRequests"),
    *("RequestLimitExceeded", "InternalError", "ServiceUnavailable", "OperationAborted"),
    *("ConditionalRequestConflict", "IncompleteBody", "BadDigest", "XAmzContentChecksumMismatch"),
}
"""Codes of errors that pass, whatever their HTTP status."""
LASTING = {
    "NoSuchBucket": "the bucket does not exist: create it, or correct its name",
    "InvalidAccessKeyId": "the access key is unknown there: check AWS_ACCESS_KEY_ID or AWS_PROFILE",
    "SignatureDoesNotMatch": "the secret key is wrong: check AWS_SECRET_ACCESS_KEY or AWS_PROFILE",
    "ExpiredToken": "the credentials have expired: renew them",
    "AccessDenied": "the credentials may not do this ({call}): check the policy of the bucket",
    "403": "the credentials are wrong or may not do this ({call}): check them and the policy",
    "NotImplemented": "the server has no {call} of this kind; conditional writes are needed",
}
"""What to do about errors that stay, by their code."""

Answer = TypeVar("Answer")


class Unsupported(StoreUnavailable):
    """The server does not know such a request."""


@dataclass(frozen=True)
class S3Address:
    """Where a bucket is served; None: as boto3's configuration says."""

    endpoint: str | None = None
    region: str | None = None


@dataclass(frozen=True)
class Upload:
    """An upload in parts that was begun and not ended; its parts cost money and are not seen."""

    path: str
    identity: str
    begun: datetime


def parse_s3_uri(uri: str) -> tuple[S3Address, str]:
    """The address and the path `bucket/prefix` of a URI `s3://bucket/prefix?region=...`.

    Raises BadInput for a URI without bucket, with credentials or with unknown options.
    """
    parts = urllib.parse.urlsplit(uri)
    if "@" in parts.netloc:
        raise BadInput(
            f"s3://...@{parts.netloc.rpartition('@')[2]}: credentials do not belong in a URI, "
            "which is printed and stored; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or "
            "AWS_PROFILE"
        )
    if not parts.netloc:
        raise BadInput(f"{uri}: names no bucket; write s3://BUCKET/FOLDER")
    options = dict(urllib.parse.parse_qsl(parts.query))
    for name in options:
        if name not in OPTIONS:
            hint = did_you_mean(name, OPTIONS)
            raise BadInput(f"{uri}: unknown option {name!r}{hint}; known: {', '.join(OPTIONS)}")
    host = options.get("endpoint_override")
    if host is not None and "://" not in host:
        host = f"{options.get('scheme', 'https')}://{host}"
    path = f"{parts.netloc}/{urllib.parse.unquote(parts.path).strip('/')}".rstrip("/")
    return S3Address(host, options.get("region")), path


class S3Objects(fs.FileSystemHandler):
    """What pyarrow asks a filesystem, and what it has no question for; paths are `bucket/key`."""

    def __init__(self, address: S3Address) -> None:
        self.address = address

    def __reduce__(self) -> tuple[type[S3Objects], tuple[S3Address]]:
        return S3Objects, (self.address,)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, S3Objects) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    # Objects.

    def read(self, path: str) -> bytes:
        """The whole content of an object; raises FileNotFoundError."""
        return self._read(path)[0]

    def put(self, path: str, content: bytes) -> None:
        """Write an object, whole or not at all."""
        if len(content) < LARGE:
            self._call("put_object", path, Body=content)
        else:
            self.send(path, io.BytesIO(content))

    def send(self, path: str, file: BinaryIO) -> None:
        """Write an object, whole or not at all, from a file that can be rewound."""
        self._attempt("upload", path, lambda where: self._send(file, where))

    def fetch(self, path: str, target: Path) -> None:
        """Copy an object to a local file, in parts; raises FileNotFoundError."""

        def ask(where: dict[str, str]) -> None:
            self._client.download_file(where["Bucket"], where["Key"], str(target))

        self._attempt("get_object", path, ask)

    @contextmanager
    def uploading(self, path: str) -> Iterator[BinaryIO]:
        """A file whose content becomes the object when the block ends without an exception."""
        with tempfile.TemporaryFile() as file:
            yield file
            self.send(path, file)

    def create(self, path: str, content: bytes) -> bool:
        """Write an object unless there is one; of several writers exactly one gets True.

        `content` must be the writer's own: after a lost answer it tells whose object it is.
        """
        return self._put_if(path, content, IfNoneMatch="*")

    def replace(self, path: str, content: bytes, before: bytes) -> bool:
        """Write an object unless it has changed from `before`; exactly one writer gets True."""
        try:
            held, tag = self._read(path)
        except FileNotFoundError:
            return False
        return held == before and self._put_if(path, content, IfMatch=tag)

    def remove(self, path: str, before: bytes) -> None:
        """Delete an object unless it has changed from `before`."""
        with suppress(FileNotFoundError, FileExistsError):
            held, tag = self._read(path)
            if held != before:
                return
            try:
                self._call("delete_object", path, IfMatch=tag)
            except Unsupported:  # which leaves the moment since the content was read
                self.delete_file(path)

    def uploads(self, folder: str) -> Iterator[Upload]:
        """Uploads in parts below a folder that have not ended."""
        bucket, _, prefix = f"{folder}/".partition("/")
        marker: dict[str, str] = {}
        while True:
            page = self._call("list_multipart_uploads", f"{bucket}/", Prefix=prefix, **marker)
            for each in page.get("Uploads", ()):
                yield Upload(f"{bucket}/{each['Key']}", each["UploadId"], each["Initiated"])
            if not page.get("IsTruncated"):
                return
            marker = {
                "KeyMarker": page["NextKeyMarker"],
                "UploadIdMarker": page["NextUploadIdMarker"],
            }

    def abort(self, upload: Upload) -> None:
        """End an upload in parts and free what it holds."""
        with suppress(FileNotFoundError):  # it has ended meanwhile
            self._call("abort_multipart_upload", upload.path, UploadId=upload.identity)

    # What pyarrow asks.

    def get_type_name(self) -> str:
        """The kind of filesystem."""
        return "s3"

    def normalize_path(self, path: str) -> str:
        """The path as it is."""
        return path

    def get_file_info(self, paths: list[str]) -> list[fs.FileInfo]:
        """What is at each path; a folder is what other names begin with."""
        return [self._info(path) for path in paths]

    def get_file_info_selector(self, selector: fs.FileSelector) -> list[fs.FileInfo]:
        """What is below a folder."""
        base = selector.base_dir.rstrip("/")
        found = list(self._listed(base, selector.recursive))
        if not found and "/" in base and not selector.allow_not_found:
            raise FileNotFoundError(2, "No such folder", base)
        return found

    def create_dir(self, path: str, recursive: bool) -> None:
        """Nothing: folders exist in names only."""

    def delete_dir(self, path: str) -> None:
        """Delete every object below a folder."""
        keys = [i.path for i in self._listed(path, True) if i.type == fs.FileType.File]
        for start in range(0, len(keys), DELETED_AT_ONCE):
            names = [{"Key": _split(each)["Key"]} for each in keys[start : start + DELETED_AT_ONCE]]
            bucket = f"{path.partition('/')[0]}/"
            self._call("delete_objects", bucket, Delete={"Objects": names, "Quiet": True})

    def delete_dir_contents(self, path: str, missing_dir_ok: bool = False) -> None:
        """As `delete_dir`: an empty folder does not exist."""
        self.delete_dir(path)

    def delete_root_dir_contents(self) -> None:
        """Refused."""
        raise NotImplementedError("the contents of all buckets are not deleted")

    def delete_file(self, path: str) -> None:
        """Delete an object, if there is one."""
        self._call("delete_object", path)

    def move(self, src: str, dest: str) -> None:
        """Copy an object, then delete it."""
        self.copy_file(src, dest)
        self.delete_file(src)

    def copy_file(self, src: str, dest: str) -> None:
        """Copy an object inside the store."""
        self._call("copy_object", dest, CopySource=_split(src))

    def open_input_stream(self, path: str) -> pa.NativeFile:
        """The content, which is read whole, so that no reader meets half of it."""
        return pa.BufferReader(self.read(path))

    def open_input_file(self, path: str) -> pa.NativeFile:
        """As `open_input_stream`."""
        return self.open_input_stream(path)

    def open_output_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """A stream that becomes the object when it is closed."""
        return pa.PythonFile(_Spooled(self, path), mode="w")

    def open_append_stream(self, path: str, metadata: Any) -> pa.NativeFile:
        """Refused: an object cannot be added to."""
        raise NotImplementedError("objects cannot be appended to")

    # Requests.

    @cached_property
    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError as error:
            raise BadInput(
                's3:// needs boto3, which is not installed: pip install "fairfm[s3]"'
            ) from error
        config = Config(
            connect_timeout=CONNECT_SECONDS,
            read_timeout=READ_SECONDS,
            retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        )
        try:
            return boto3.session.Session().client(
                "s3",
                endpoint_url=self.address.endpoint,
                region_name=self.address.region,
                config=config,
            )
        except ValueError as error:  # botocore's word for an endpoint that is no URL
            raise BadInput(f"the address of S3 cannot be used: {error}") from error

    @cached_property
    def _outage(self) -> Outage:
        return Outage(f"S3 at {self._client.meta.endpoint_url}")

    def _call(self, call: str, path: str, **values: Any) -> Any:
        """One request about an object, tried again while the server is away."""
        return self._attempt(
            call, path, lambda where: getattr(self._client, call)(**where, **values)
        )

    def _attempt(self, call: str, path: str, ask: Callable[[dict[str, str]], Answer]) -> Answer:
        from botocore.exceptions import BotoCoreError, ClientError

        where, outage = _split(path), self._outage
        try:
            return outage.attempt(lambda: ask(where), passing_reason)
        except ClientError as error:
            raise _lasting(error, path, call) from error
        except BotoCoreError as error:
            text = " ".join(str(error).split())
            raise StoreUnavailable(
                f"s3://{path.rstrip('/')} cannot be used: {text}; check AWS_ACCESS_KEY_ID, "
                "AWS_SECRET_ACCESS_KEY and AWS_DEFAULT_REGION, or AWS_PROFILE"
            ) from error

    def _read(self, path: str) -> tuple[bytes, str]:
        """Content and tag of an object."""

        def ask(where: dict[str, str]) -> tuple[bytes, str]:
            answer = self._client.get_object(**where)
            return answer["Body"].read(), answer["ETag"]

        return self._attempt("get_object", path, ask)

    def _send(self, file: BinaryIO, where: dict[str, str]) -> None:
        from boto3.s3.transfer import TransferConfig

        file.seek(0)
        parts = TransferConfig(multipart_threshold=LARGE, multipart_chunksize=LARGE // 2)
        self._client.upload_fileobj(_Kept(file), where["Bucket"], where["Key"], Config=parts)

    def _put_if(self, path: str, content: bytes, **condition: str) -> bool:
        try:
            self._call("put_object", path, Body=content, **condition)
        except (FileExistsError, FileNotFoundError):  # the latter: what was to be replaced is gone
            try:
                return self.read(path) == content
            except FileNotFoundError:
                return False
        return True

    def _info(self, path: str) -> fs.FileInfo:
        bucket, _, key = path.partition("/")
        if key:
            try:
                head = self._call("head_object", path)
                return _file(path, head["ContentLength"], head["LastModified"])
            except FileNotFoundError:
                pass
        prefix = f"{key}/" if key else ""
        page = self._call("list_objects_v2", f"{bucket}/", Prefix=prefix, MaxKeys=1)
        folder = bool(page.get("Contents")) or not key
        return fs.FileInfo(path, fs.FileType.Directory if folder else fs.FileType.NotFound)

    def _listed(self, folder: str, recursive: bool) -> Iterator[fs.FileInfo]:
        bucket, _, prefix = f"{folder}/".partition("/")
        apart = {} if recursive else {"Delimiter": "/"}
        token: dict[str, str] = {}
        while True:
            page = self._call("list_objects_v2", f"{bucket}/", Prefix=prefix, **apart, **token)
            for each in page.get("CommonPrefixes", ()):
                yield fs.FileInfo(f"{bucket}/{each['Prefix']}".rstrip("/"), fs.FileType.Directory)
            for each in page.get("Contents", ()):
                if not each["Key"].endswith("/"):  # other programs leave empty objects for folders
                    yield _file(f"{bucket}/{each['Key']}", each["Size"], each["LastModified"])
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}


def passing_reason(error: BaseException) -> str | None:
    """What went wrong, in a few words, if the same request may succeed later; None otherwise."""
    from boto3.exceptions import RetriesExceededError
    from botocore import exceptions
    from urllib3.exceptions import HTTPError

    if isinstance(error, exceptions.ClientError):
        code, status = _code(error), error.response["ResponseMetadata"].get("HTTPStatusCode", 0)
        passes = code in PASSING or status == 429 or (status >= 500 and code != "NotImplemented")
        return f"it says {code}, HTTP {status}" if passes else None
    if isinstance(error, exceptions.SSLError):
        return None
    passing = (
        exceptions.HTTPClientError,
        exceptions.ConnectionError,
        exceptions.ResponseStreamingError,
        exceptions.IncompleteReadError,
        exceptions.FlexibleChecksumError,
        exceptions.MetadataRetrievalError,
        HTTPError,
        RetriesExceededError,
        ConnectionError,
        TimeoutError,
    )
    return (
        _WORDS.get(type(error).__name__, "the connection broke")
        if isinstance(error, passing)
        else None
    )


_WORDS = {
    "EndpointConnectionError": "no connection",
    "ConnectTimeoutError": "no connection in time",
    "ReadTimeoutError": "no answer in time",
    "FlexibleChecksumError": "an answer was damaged on its way",
}


def _lasting(error: Any, path: str, call: str) -> Exception:
    """The error to raise for one that stays."""
    code = _code(error)
    if code in TAKEN:
        return FileExistsError(17, "It exists, or has changed", path)
    if code in MISSING or code == "NoSuchUpload":
        return FileNotFoundError(2, "No such object", path)
    known = LASTING.get(code)
    what = known.format(call=call) if known else f"{code}: {error.response['Error'].get('Message')}"
    kind = Unsupported if code == "NotImplemented" else StoreUnavailable
    return kind(f"s3://{path.rstrip('/')} cannot be used: {what}")


def _code(error: Any) -> str:
    return str(error.response.get("Error", {}).get("Code", "unknown"))


def _split(path: str) -> dict[str, str]:
    bucket, _, key = path.partition("/")
    return {"Bucket": bucket, "Key": key} if key else {"Bucket": bucket}


def _file(path: str, size: int, written: datetime) -> fs.FileInfo:
    return fs.FileInfo(path, fs.FileType.File, size=size, mtime=written)


class _Kept:
    """A file that s3transfer reads and must not close: it may be sent once more."""

    def __init__(self, file: BinaryIO) -> None:
        self.read, self.seek, self.tell = file.read, file.seek, file.tell

    def close(self) -> None:
        """Leave it open."""


class _Spooled:
    """What pyarrow writes to: a temporary file, sent when it is closed."""

    def __init__(self, objects: S3Objects, path: str) -> None:
        self._objects, self._path = objects, path
        self._file = tempfile.TemporaryFile()  # noqa: SIM115  # closed with this
        self.write, self.tell, self.flush = self._file.write, self._file.tell, self._file.flush
        self.closed = False

    def close(self) -> None:
        """Send what was written."""
        if not self.closed:
            self.closed = True
            with self._file:
                self._objects.send(self._path, self._file)
