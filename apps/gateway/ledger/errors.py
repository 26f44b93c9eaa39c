"""What can go wrong in the ledger.

LedgerError
├── SpoolError          the spool could not be written; nothing of the line is promised
│   └── SpoolFull       ... because it holds as much as it may
├── SpoolBusy           another drainer holds the directory
└── DatabaseUnavailable the database does not take the ledger now; the spool keeps it
"""

from __future__ import annotations


class LedgerError(Exception):
    """Anything the ledger refuses or fails at."""


class SpoolError(LedgerError):
    """The line is not in the spool. No attempt may be dispatched on it; what was settled must be offered again."""


class SpoolFull(SpoolError):
    """The spool holds as many bytes as it may, because nothing drains it. Refuse new work until it shrinks."""


class SpoolBusy(LedgerError):
    """Another process is draining this directory."""


class DatabaseUnavailable(LedgerError):
    """The database does not take the ledger now. The spool keeps every line until it does."""
