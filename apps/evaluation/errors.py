"""What can go wrong with datasets and runs.

DomainError (apps/tenants/errors.py)
 +- Invalid            422
     +- ExampleInvalid      an example that cannot be kept; ``field`` names the part
     +- FileRefused         a whole file that cannot be read: what it is, and what to do
     +- RunRefused          a run that cannot be started as it is wanted; ``field`` names what does not fit
"""

from __future__ import annotations

from apps.tenants.errors import Invalid


class ExampleInvalid(Invalid):
    default_code = "example_invalid"


class FileRefused(Invalid):
    default_code = "file_refused"


class RunRefused(Invalid):
    default_code = "run_refused"
