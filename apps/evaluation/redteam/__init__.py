"""Red teaming: attacks generated from templates, what their success is told by, and how they reach a target.

Pure: no ORM, no network, no clock. The same categories, size and seed give the same attacks on every machine. See
docs/red-teaming.md.
"""

from apps.evaluation.redteam.generation import generate
from apps.evaluation.redteam.types import Attack, By, Category, Severity, Size

__all__ = ["Attack", "By", "Category", "Severity", "Size", "generate"]
