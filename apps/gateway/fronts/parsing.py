"""Reading a caller's JSON.

A body is parsed twice from the same bytes, both times in C: once into a typed struct, which checks every field that we
know and names the one that is wrong; once into raw top-level fields, which pass on as they came, unknown ones included.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import TypeVar

import msgspec
from msgspec import Raw

from apps.gateway.errors import InvalidRequest
from apps.gateway.fronts.base import Arrived, Options

MAX_DEPTH_MESSAGE = "The body is nested too deeply."

OPTIONS = Options.__struct_fields__

T = TypeVar("T")

_decode_fields = msgspec.json.Decoder(dict[str, Raw]).decode

# "Expected `str`, got `int` - at `$.messages[0].role`"
_location = re.compile(r" - at `(?P<path>[^`]*)`$")
_unknown = re.compile(r"contains unknown field `(?P<name>.*)`$", re.DOTALL)
_missing = re.compile(r"missing required field `(?P<name>[^`]+)`")


def parse_json(decode: Callable[[bytes], T], body: bytes, at: str = "") -> tuple[T, dict[str, Raw]]:
    """The typed request and the raw fields. ``at`` is where in the body it stands. Raises ``InvalidRequest``."""
    try:
        if not body.isascii():
            body.decode()  # the parser looks at no field that we do not know
        return decode(body), _decode_fields(body)
    except msgspec.ValidationError as error:
        raise _invalid(str(error), at) from None
    except msgspec.DecodeError as error:
        raise InvalidRequest(f"The body is not valid JSON: {error}", code="invalid_json") from None
    except UnicodeDecodeError:
        raise InvalidRequest("The body is not valid UTF-8.", code="invalid_json") from None
    except RecursionError:
        raise InvalidRequest(MAX_DEPTH_MESSAGE, code="invalid_json") from None


def shown_headers(arrived: Arrived, names: Iterable[bytes]) -> dict[str, str]:
    """Those of the caller's headers that an upstream is shown. Raises ``InvalidRequest`` for one that is no ASCII."""
    shown = {}
    for name in names:
        if value := arrived.headers.get(name):
            if not value.isascii():
                raise InvalidRequest(
                    f"The header '{name.decode()}' holds a character outside ASCII.",
                    param=name.decode(),
                    code="invalid_header",
                )
            shown[name.decode()] = value.decode()
    return shown


def _invalid(text: str, at: str = "") -> InvalidRequest:
    """A validation message of msgspec in the words of the API: what is wrong, with the parameter's path."""
    match = _location.search(text)
    path = match["path"].removeprefix("$").removeprefix(".") if match else ""
    text = text[: match.start()] if match else text
    path = ".".join(filter(None, (at, path)))
    missing = _missing.search(text)
    if missing:
        path = f"{path}.{missing['name']}" if path else missing["name"]
        return InvalidRequest(f"'{path}' is missing.", param=path, code="missing_field")
    unknown = _unknown.search(text)
    if unknown:
        name = "".join(character for character in unknown["name"] if character.isprintable())[:100]
        known = f" There are: {', '.join(OPTIONS)}." if path.rpartition(".")[2] == "lobby" else ""
        path = f"{path}.{name}" if path else name
        return InvalidRequest(f"'{path}' is unknown.{known}", param=path, code="unknown_parameter")
    where = f"'{path}': " if path else ""
    return InvalidRequest(f"{where}{text}.", param=path or None, code="invalid_value")
