"""A file of a form, on its way from the request into the archive: no copy of it is made in between."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from django.core.files.uploadedfile import UploadedFile
from django.core.files.uploadhandler import FileUploadHandler

from apps.evaluation.services.uploads import Receiving
from apps.tenants.errors import Invalid

CHUNK = 1024**2


class ReceivedFile(UploadedFile):  # type: ignore[type-arg]
    """What stands in the form where the file would: ``receiving`` has it, and waits to be finished."""

    def __init__(self, receiving: Receiving) -> None:
        super().__init__(name=receiving.file_name, size=receiving.size)
        self.receiving = receiving

    def close(self) -> None:
        self.receiving.close()


class ArchiveUploadHandler(FileUploadHandler):
    """``begin`` is told the file's name, and refuses or returns where its bytes go. One file, in the field ``file``."""

    chunk_size = CHUNK

    def __init__(self, begin: Callable[[str], Receiving]) -> None:
        super().__init__()
        self._begin = begin
        self.file: Receiving | None = None  # closed by Django's parser when the request breaks off

    def new_file(self, *args: Any, **kwargs: Any) -> None:
        super().new_file(*args, **kwargs)
        if self.field_name != "file" or self.file is not None:
            raise Invalid("Send one file, in the field 'file'.", field="file")
        self.file = self._begin(self.file_name or "")

    def receive_data_chunk(self, raw_data: bytes, start: int) -> None:
        assert self.file is not None
        self.file.write(raw_data)

    def file_complete(self, file_size: int) -> ReceivedFile:
        assert self.file is not None
        return ReceivedFile(self.file)

    def upload_interrupted(self) -> None:
        self.close()

    def close(self) -> None:
        """Nothing of what was not finished stays."""
        if self.file is not None:
            self.file.close()


def receiving_in(files: Any) -> Receiving:
    """Raises ``Invalid`` where the form has no file."""
    file = files.get("file") if hasattr(files, "get") else None
    if not isinstance(file, ReceivedFile):
        raise Invalid("Choose a file.", field="file")
    return file.receiving
