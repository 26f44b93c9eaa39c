"""What can go wrong, for a program to match on and for a person to read.

DomainError
 +- NotFound          404  missing, or another tenant's: the two look alike
 +- PermissionDenied  403  seen, but not allowed; the remedy says who can do it
 +- Invalid           422  a value that cannot be taken; ``field`` names it
 +- Conflict          409  well formed, but at odds with what is there

ScopeError is not one of them: it is a bug in our code (a query without a tenant), never a user's doing.
"""

from __future__ import annotations

from typing import ClassVar


class DomainError(Exception):
    """A refusal with a stable ``code``. Every face (page, API, gateway, command) renders it in its own way.

    Args:
        message: One sentence: what is wrong, with the value.
        code: Overrides the class's code with a narrower one, for example ``last_admin``.
        field: The input that is to blame, where there is one.
        remedy: One sentence: what the reader can do about it.
    """

    default_code: ClassVar[str] = "error"
    status: ClassVar[int] = 400

    def __init__(self, message: str, *, code: str = "", field: str | None = None, remedy: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.field = field
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message} {self.remedy}".strip()


class NotFound(DomainError):
    default_code = "not_found"
    status = 404


class PermissionDenied(DomainError):
    default_code = "permission_denied"
    status = 403


class Invalid(DomainError):
    default_code = "invalid"
    status = 422


class Conflict(DomainError):
    default_code = "conflict"
    status = 409


class ScopeError(RuntimeError):
    """A tenant-owned table was queried without saying for whom. See ``scoping.py``."""
