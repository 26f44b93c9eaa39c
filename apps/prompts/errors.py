"""What can go wrong with prompts.

DomainError (apps/tenants/errors.py)
 +- Invalid            422
     +- ContentInvalid      a version that cannot be saved
     +- VariablesInvalid    a render with missing, extra or wrongly typed variables; ``problems`` names each
"""

from __future__ import annotations

from collections.abc import Mapping

from apps.tenants.errors import Invalid


class ContentInvalid(Invalid):
    default_code = "content_invalid"


class VariablesInvalid(Invalid):
    """``problems`` says what is wrong by variable. Values are never repeated: they may be long, or private."""

    default_code = "variables_invalid"

    def __init__(self, problems: Mapping[str, str]) -> None:
        self.problems = dict(problems)
        told = "; ".join(f"'{name[:64]}' {problem}" for name, problem in list(self.problems.items())[:10])
        if len(self.problems) > 10:
            told += f"; and {len(self.problems) - 10} more"
        super().__init__(f"{told}.", field=f"variables/{next(iter(self.problems))[:64]}")
