"""Forms are read where they stand, whatever is in them."""

from __future__ import annotations

import contextlib

import httpx
from hypothesis import given
from hypothesis import strategies as st

from apps.models.providers.dialects.multipart import MalformedForm, field_of, read_form, replaced


def form(fields: dict[str, str], file: bytes) -> tuple[str, bytes]:
    request = httpx.Request("POST", "http://x", data=fields, files={"file": ("a.wav", file)})
    return request.headers["content-type"], request.read()


@given(st.text(max_size=40), st.binary(max_size=2_000))
def test_a_field_is_replaced_and_the_file_stays(model: str, file: bytes) -> None:
    content_type, body = form({"model": "before", "prompt": "p"}, file)
    changed = replaced(read_form(content_type, body), body, {"model": model})
    parts = read_form(content_type, changed)
    assert field_of(parts, changed, "model") == model.encode("utf-8", "replace").decode()
    assert field_of(parts, changed, "prompt") == "p"
    [sound] = [part for part in parts if part.is_file]
    assert changed[sound.start : sound.end] == file


@given(st.binary(max_size=300))
def test_garbage_is_refused_and_nothing_else_happens(body: bytes) -> None:
    for content_type in ("multipart/form-data", "multipart/form-data; boundary=x"):
        with contextlib.suppress(MalformedForm):
            read_form(content_type, b"--x\r\n" + body)
        with contextlib.suppress(MalformedForm):
            read_form(content_type, body)
