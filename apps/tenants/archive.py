"""Where large things lie that the database only lists: a folder, or S3 (``ARCHIVE_URL``).

Keys are made here (``new_key``), under the tenant they belong to; nothing that a person typed is ever part of one. An
object is there whole or not at all: what is being written becomes visible when it is closed.
"""

from __future__ import annotations

import io
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Protocol
from urllib.parse import unquote, urlsplit

from django.conf import settings

from apps.tenants.models import Tenant

_KEY = re.compile(r"tenants/\d+/[a-z-]+/[0-9a-f]{32}(?:\.[a-z0-9]{1,10})?")
BLOCK = 1024**2
# S3 takes parts of at least 5 MiB, and at most 10,000 of them: 156 GiB.
PART_BYTES = 16 * 1024**2


class ArchiveError(Exception):
    """The archive does not answer, or has not what was asked for. Never a user's doing."""


class Writer(Protocol):
    def write(self, data: bytes, /) -> object: ...

    def commit(self) -> None:
        """From here on the object is there."""

    def abandon(self) -> None:
        """Nothing of it stays. After ``commit`` it does nothing."""


class Archive(Protocol):
    def create(self, key: str) -> Writer: ...

    def open(self, key: str) -> AbstractContextManager[BinaryIO]:
        """To be read from the beginning. Raises ``ArchiveError`` where there is no such object."""

    def local(self, key: str) -> AbstractContextManager[Path]:
        """As a file to seek in: the object itself, or a copy that goes with the context."""

    def size(self, key: str) -> int: ...

    def delete(self, key: str) -> None:
        """Gone; no error where there was none."""


def archive() -> Archive:
    """The one of the settings."""
    url = urlsplit(settings.ARCHIVE_URL)
    if url.scheme == "s3":
        return S3Archive(url.netloc, unquote(url.path).strip("/"))
    return FolderArchive(Path(unquote(url.path)))


def new_key(tenant: Tenant, kind: str, suffix: str = "") -> str:
    """``kind`` is a word of ours, such as ``uploads``; ``suffix`` such as ``.jsonl``."""
    return _checked(f"tenants/{tenant.pk}/{kind}/{secrets.token_hex(16)}{suffix}")


@contextmanager
def writing(key: str) -> Iterator[Writer]:
    """The object is there when the block ends well."""
    writer = archive().create(key)
    try:
        yield writer
        writer.commit()
    finally:
        writer.abandon()


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ArchiveError(f"{key[:100]!r} is no key of the archive.")
    return key


class FolderArchive:
    def __init__(self, root: Path) -> None:
        self._root = root

    def _path(self, key: str) -> Path:
        return self._root / _checked(key)

    def create(self, key: str) -> Writer:
        path = self._path(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            return _FileWriter(path)
        except OSError as error:
            raise ArchiveError(f"The archive's folder cannot be written to: {error.strerror}.") from error

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        try:
            file = self._path(key).open("rb")
        except OSError as error:
            raise ArchiveError(f"{key} is not in the archive: {error.strerror}.") from error
        with file:
            yield file

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        path = self._path(key)
        if not path.is_file():
            raise ArchiveError(f"{key} is not in the archive.")
        yield path

    def size(self, key: str) -> int:
        try:
            return self._path(key).stat().st_size
        except OSError as error:
            raise ArchiveError(f"{key} is not in the archive: {error.strerror}.") from error

    def delete(self, key: str) -> None:
        self._path(key).unlink(missing_ok=True)


class _FileWriter:
    def __init__(self, path: Path) -> None:
        self._path = path
        handle, name = tempfile.mkstemp(prefix=".", suffix=".part", dir=path.parent)
        self._part: Path | None = Path(name)
        self._file = os.fdopen(handle, "wb")

    def write(self, data: bytes, /) -> object:
        try:
            return self._file.write(data)
        except OSError as error:
            raise ArchiveError(f"The archive's folder cannot be written to: {error.strerror}.") from error

    def commit(self) -> None:
        assert self._part is not None
        try:
            self._file.flush()
            os.fsync(self._file.fileno())
            self._file.close()
            self._part.replace(self._path)
        except OSError as error:
            raise ArchiveError(f"The archive's folder cannot be written to: {error.strerror}.") from error
        self._part = None

    def abandon(self) -> None:
        if self._part is not None:
            self._part.unlink(missing_ok=True)
            self._part = None
        if not self._file.closed:
            try:
                self._file.close()
            except OSError:  # what could not be flushed is not wanted either
                self._file.detach()


class S3Archive:
    """Credentials and endpoint as boto3 finds them (``AWS_…``, a role)."""

    def __init__(self, bucket: str, prefix: str = "", client: Any = None) -> None:
        self._bucket = bucket
        self._prefix = f"{prefix}/" if prefix else ""
        self._made = client

    @property
    def _client(self) -> Any:
        if self._made is None:
            import boto3  # costs a quarter of a second, which no other archive should pay
            from botocore.config import Config

            self._made = boto3.client(
                "s3", config=Config(connect_timeout=5, read_timeout=30, retries={"max_attempts": 3, "mode": "standard"})
            )
        return self._made

    def _at(self, key: str) -> dict[str, str]:
        return {"Bucket": self._bucket, "Key": self._prefix + _checked(key)}

    def create(self, key: str) -> Writer:
        return _S3Writer(self._client, self._at(key))

    @contextmanager
    def open(self, key: str) -> Iterator[BinaryIO]:
        body = self._call("get_object", key)["Body"]
        try:
            yield io.BufferedReader(_Raw(body), BLOCK)
        finally:
            body.close()

    @contextmanager
    def local(self, key: str) -> Iterator[Path]:
        with tempfile.NamedTemporaryFile(prefix="lobby-archive-") as copy:
            with self.open(key) as file:
                shutil.copyfileobj(file, copy, BLOCK)
            copy.flush()
            yield Path(copy.name)

    def size(self, key: str) -> int:
        return int(self._call("head_object", key)["ContentLength"])

    def delete(self, key: str) -> None:
        self._call("delete_object", key)

    def _call(self, operation: str, key: str) -> Any:
        return _called(self._client, operation, key, **self._at(key))


class _Raw(io.RawIOBase):
    """botocore's stream as a file of Python's."""

    def __init__(self, body: Any) -> None:
        self._body = body

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        from botocore.exceptions import BotoCoreError
        from urllib3.exceptions import HTTPError

        try:
            data = self._body.read(len(buffer))
        except (BotoCoreError, HTTPError, OSError) as error:
            raise ArchiveError(f"The archive broke off: {error}") from error
        buffer[: len(data)] = data
        return len(data)


class _S3Writer:
    """A multipart upload, so that no more than one part is ever in memory; a small object goes in one request."""

    def __init__(self, client: Any, at: dict[str, str]) -> None:
        self._client = client
        self._at = at
        self._buffer = bytearray()
        self._upload = ""
        self._parts: list[dict[str, Any]] = []
        self._done = False

    def write(self, data: bytes, /) -> object:
        self._buffer += data
        while len(self._buffer) >= PART_BYTES:
            self._send(bytes(self._buffer[:PART_BYTES]))
            del self._buffer[:PART_BYTES]
        return len(data)

    def _send(self, data: bytes) -> None:
        if not self._upload:
            self._upload = self._call("create_multipart_upload")["UploadId"]
        number = len(self._parts) + 1
        answer = self._call("upload_part", UploadId=self._upload, PartNumber=number, Body=data)
        self._parts.append({"PartNumber": number, "ETag": answer["ETag"]})

    def commit(self) -> None:
        if not self._upload:
            self._call("put_object", Body=bytes(self._buffer))
        else:
            if self._buffer:
                self._send(bytes(self._buffer))
            self._call("complete_multipart_upload", UploadId=self._upload, MultipartUpload={"Parts": self._parts})
        self._buffer.clear()
        self._done = True

    def abandon(self) -> None:
        if not self._done and self._upload:
            self._call("abort_multipart_upload", UploadId=self._upload)
        self._done = True

    def _call(self, operation: str, **more: Any) -> Any:
        return _called(self._client, operation, self._at["Key"], **self._at, **more)


def _called(client: Any, operation: str, key: str, **arguments: Any) -> Any:
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        return getattr(client, operation)(**arguments)
    except (BotoCoreError, ClientError) as error:
        raise ArchiveError(f"{operation} of {key} failed: {error}") from error
