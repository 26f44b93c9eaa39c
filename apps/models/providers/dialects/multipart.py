"""Multipart forms, as uploads of sound come: the fields are read where they stand, and the file is never copied apart.

Source: RFC 7578 and RFC 2046, section 5.1.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

MAX_PARTS = 100
MAX_FIELD_BYTES = 64 * 1024

_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^;\s]{1,70}))', re.I)
_NAME = re.compile(rb'(?:^|[;\s])name="([^"]*)"', re.I)
_FILENAME = re.compile(rb"(?:^|[;\s])filename\*?=", re.I)


class MalformedForm(ValueError):
    pass


@dataclass(frozen=True, slots=True)
class FormPart:
    """``start`` and ``end`` are where its value stands in the form."""

    name: str
    start: int
    end: int
    is_file: bool


def read_form(content_type: str, body: bytes) -> list[FormPart]:
    """The parts in order. Raises ``MalformedForm``."""
    match = _BOUNDARY.search(content_type)
    if match is None:
        raise MalformedForm("The content type names no boundary.")
    mark = b"--" + (match[1] or match[2]).encode("latin-1")
    at = 0 if body.startswith(mark) else body.find(b"\r\n" + mark) + 2
    if not body.startswith(mark, at):
        raise MalformedForm("The form does not begin with its boundary.")
    parts: list[FormPart] = []
    while True:
        at += len(mark)
        if body.startswith(b"--", at):
            return parts
        head = body.find(b"\r\n", at) + 2
        start = body.find(b"\r\n\r\n", head - 2) + 4
        end = body.find(b"\r\n" + mark, start - 2)
        if head < 2 or start < 4 or end < 0 or len(parts) >= MAX_PARTS:
            raise MalformedForm("The form is cut off, or has too many parts.")
        disposition = _disposition(body[head:start])
        name = _NAME.search(disposition)
        if name is None:
            raise MalformedForm("A part of the form has no name.")
        is_file = _FILENAME.search(disposition) is not None
        parts.append(FormPart(name[1].decode("utf-8", "replace"), start, max(end, start), is_file))
        at = end + 2


def _disposition(head: bytes) -> bytes:
    for line in head.split(b"\r\n"):
        if line.lower().startswith(b"content-disposition:"):
            return line
    return b""


def field_of(parts: list[FormPart], body: bytes, name: str) -> str | None:
    """A field's text; None where there is none, or it is a file, or far too long."""
    for part in parts:
        if part.name == name and not part.is_file and part.end - part.start <= MAX_FIELD_BYTES:
            return body[part.start : part.end].decode("utf-8", "replace")
    return None


def replaced(parts: list[FormPart], body: bytes, values: dict[str, str]) -> bytes:
    """The form with other values in these fields; the rest is as it came."""
    pieces, at = [], 0
    for part in parts:
        if part.name in values and not part.is_file:
            pieces += [body[at : part.start], values[part.name].encode()]
            at = part.end
    return b"".join([*pieces, body[at:]])
