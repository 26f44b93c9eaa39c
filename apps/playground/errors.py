"""What can go wrong in the playground beside the errors of every app.

DomainError (apps/tenants/errors.py)
 +- Invalid            422
     +- ColumnInvalid       a column that cannot be run; ``problems`` says what is wrong with its prompt's variables
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.tenants.errors import Invalid


class ColumnInvalid(Invalid):
    """``column`` counts from 0. ``problems`` is by variable, and empty where something else is wrong."""

    def __init__(self, message: str, *, column: int, code: str, problems: Mapping[str, str] | None = None) -> None:
        super().__init__(message, code=code, field=f"columns/{column}")
        self.column = column
        self.problems = dict(problems or {})
