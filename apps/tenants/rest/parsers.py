"""Reading a body: JSON, in UTF-8, of a size and depth that a management call can need."""

from __future__ import annotations

import io
from collections.abc import Mapping
from typing import Any

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser

from apps.tenants.rest.errors import BodyTooLarge

MOST_BYTES = 1024**2


class BoundedJSONParser(JSONParser):
    def parse(self, stream: Any, media_type: str | None = None, parser_context: Mapping[str, Any] | None = None) -> Any:
        data = stream.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            raise BodyTooLarge(f"The body has more than {MOST_BYTES:,} bytes.")
        try:
            # The charset of a JSON body is UTF-8 (RFC 8259), whatever the content type says.
            return super().parse(io.BytesIO(data), media_type, {**(parser_context or {}), "encoding": "utf-8"})
        except RecursionError:
            raise ParseError("The body is nested too deeply.") from None
