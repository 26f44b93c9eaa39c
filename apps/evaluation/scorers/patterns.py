"""Regular expressions of users: they run on RE2, whose time grows with the text and not with the pattern's malice."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, Protocol

MOST_CHARACTERS: Final = 2_000
_MEMORY: Final = 8 << 20


class PatternError(ValueError):
    """What is wrong with a pattern, in RE2's words."""


class Pattern(Protocol):
    def search(self, text: str) -> Any: ...
    def fullmatch(self, text: str) -> Any: ...


@lru_cache(maxsize=1_024)
def compiled(pattern: str, *, ignore_case: bool = False) -> Pattern:
    """Raises ``PatternError``, also for what RE2 leaves out on purpose: lookaround and backreferences."""
    import re2

    if len(pattern) > MOST_CHARACTERS:
        raise PatternError(f"it is longer than {MOST_CHARACTERS:,} characters")
    options = re2.Options()
    options.log_errors = False
    options.max_mem = _MEMORY
    options.case_sensitive = not ignore_case
    try:
        made: Pattern = re2.compile(pattern, options)
    except UnicodeEncodeError:
        raise PatternError("it holds half of a surrogate pair") from None
    except re2.error as error:
        told = error.args[0]
        raise PatternError(told.decode(errors="replace") if isinstance(told, bytes) else str(told)) from None
    return made


def searchable(text: str) -> str:
    """``text`` without the halves of surrogate pairs that JSON may bring: RE2 reads UTF-8."""
    return text.encode("utf-8", "replace").decode()
