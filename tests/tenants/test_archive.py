"""The archive on a folder and on S3 (moto's server): the same promises of both."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from moto.server import ThreadedMotoServer

from apps.tenants import archive as archives
from apps.tenants.archive import Archive, ArchiveError, FolderArchive, S3Archive
from apps.tenants.models import Tenant
from tests.aws import sdk


@pytest.fixture(scope="module")
def moto() -> Iterator[str]:
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def archive(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Archive]:
    if request.param == "folder":
        yield FolderArchive(tmp_path / "archive")
        return
    with sdk("s3", request.getfixturevalue("moto"), "an-id", "a-secret") as client:
        bucket = f"kept-{secrets.token_hex(8)}"
        client.create_bucket(Bucket=bucket, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield S3Archive(bucket, "lobby", client)
        assert "Uploads" not in client.list_multipart_uploads(Bucket=bucket)


def key() -> str:
    return archives.new_key(Tenant(pk=7), "uploads", ".csv")


@pytest.mark.parametrize("size", [0, 10, archives.PART_BYTES + 5])
def test_what_is_written_is_read_again_whole(archive: Archive, size: int) -> None:
    name, data = key(), bytes(range(256)) * (size // 256) + b"x" * (size % 256)
    writer = archive.create(name)
    for at in range(0, len(data), 1_000_003):
        writer.write(data[at : at + 1_000_003])
    with pytest.raises(ArchiveError):
        archive.size(name)  # not there before it is whole
    writer.commit()
    writer.abandon()
    assert archive.size(name) == size
    with archive.open(name) as file:
        assert b"".join(iter(lambda: file.read(300_000), b"")) == data
    with archive.local(name) as path:
        assert path.stat().st_size == size
    archive.delete(name)
    archive.delete(name)
    with pytest.raises(ArchiveError), archive.open(name):
        pass


@pytest.mark.parametrize("size", [10, archives.PART_BYTES + 5])
def test_nothing_stays_of_what_is_abandoned(archive: Archive, tmp_path: Path, size: int) -> None:
    name = key()
    writer = archive.create(name)
    writer.write(b"x" * size)
    writer.abandon()
    with pytest.raises(ArchiveError):
        archive.size(name)
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", ["../x", "tenants/1/uploads/../../x", "/etc/passwd", "tenants/1/uploads/a.csv", ""])
def test_only_keys_made_here_are_taken(archive: Archive, name: str) -> None:
    with pytest.raises(ArchiveError):
        archive.create(name)
    with pytest.raises(ArchiveError), archive.open(name):
        pass
