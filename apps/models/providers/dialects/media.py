"""Images and files inside JSON: data URLs, as the OpenAI APIs carry them."""

from __future__ import annotations

import re

_DATA_URL = re.compile(r"data:(?P<type>[\w.+-]+/[\w.+-]+)?(?:;[\w=.+-]+)*;base64,", re.ASCII)


def parse_data_url(url: str) -> tuple[str, str]:
    """(media type, base64) of a data URL; two empty texts for any other address."""
    match = _DATA_URL.match(url)
    return (match["type"] or "application/octet-stream", url[match.end() :]) if match else ("", "")


def data_url(media_type: str, data: str) -> str:
    return f"data:{media_type or 'application/octet-stream'};base64,{data}"
