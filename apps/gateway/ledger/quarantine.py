"""What the drainer could not read as a line: kept beside the spool with its place and the reason, never dropped.

One file per segment, one JSON object per finding: ``{"segment", "offset", "reason", "data"}``, the data in base64.
An offset is kept once, however often its segment is read again.
"""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import structlog

from apps.gateway.ledger import files
from apps.gateway.ledger.files import SegmentName

log = structlog.get_logger(__name__)


class Finding(msgspec.Struct, frozen=True):
    segment: str
    offset: int
    reason: str
    data: bytes


_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder(Finding).decode


class Quarantine:
    def __init__(self, directory: Path) -> None:
        self.directory = directory / files.QUARANTINE
        self._known: tuple[str, set[int]] = ("", set())

    def keep(self, segment: SegmentName, offset: int, data: bytes, reason: str) -> bool:
        """Keep ``data`` durably and say so in the log; False if it was kept before. Raises ``OSError``."""
        path = self.directory / str(segment)
        known = self._offsets(path)
        if offset in known:
            return False
        new = not path.exists()
        self.directory.mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        with open(descriptor, "wb", buffering=0) as file:
            finding = _encode(Finding(str(segment), offset, reason, data)) + b"\n"
            if file.write(finding) != len(finding):
                raise OSError(f"{path} took only a part of a line")
            os.fsync(descriptor)
        if new:
            files.sync_directory(self.directory)
        known.add(offset)
        log.warning(
            "spool_line_quarantined",
            segment=str(segment),
            offset=offset,
            length=len(data),
            reason=reason,
            kept=str(path),
        )
        return True

    def _offsets(self, path: Path) -> set[int]:
        """Those kept already. Segments are read one after the other: one file's are remembered."""
        if self._known[0] != path.name:
            self._known = (path.name, {finding.offset for finding in read_findings(path)})
        return self._known[1]


def read_findings(path: Path) -> list[Finding]:
    """What one file of the quarantine holds; its own torn last line is left out."""
    if not path.exists():
        return []
    findings = []
    for line in path.read_bytes().split(b"\n"):
        try:
            findings.append(_decode(line))
        except msgspec.DecodeError:
            continue
    return findings
