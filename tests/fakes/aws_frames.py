"""Event-stream messages as a fake of an Amazon service sends them: written apart from what they test."""

from __future__ import annotations

import binascii
import struct


def frame(payload: bytes, **headers: str) -> bytes:
    """``frame(b"{}", event_type="chunk", message_type="event")``"""
    block = b""
    for name, value in headers.items():
        key = b":" + name.replace("_", "-").encode()
        block += struct.pack(">B", len(key)) + key + b"\x07" + struct.pack(">H", len(value)) + value.encode()
    prelude = struct.pack(">II", 12 + len(block) + len(payload) + 4, len(block))
    prelude += struct.pack(">I", binascii.crc32(prelude))
    message = prelude + block + payload
    return message + struct.pack(">I", binascii.crc32(message))


def event(name: str, payload: bytes, content_type: str = "application/json") -> bytes:
    return frame(payload, event_type=name, content_type=content_type, message_type="event")


def exception(name: str, payload: bytes) -> bytes:
    return frame(payload, exception_type=name, content_type="application/json", message_type="exception")
