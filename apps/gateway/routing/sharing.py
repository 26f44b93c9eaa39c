"""How a route shares its requests, as one value: what a revision holds, and what two of them are compared by."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from apps.gateway.models import Route, RouteRevision, RouteTarget
from apps.gateway.routing.selectors import model_of
from apps.gateway.types import Purpose, Strategy

# The route's own columns that belong to it.
COLUMNS = ("strategy", "sticky", "hedge_after_ms")


class TargetTerms(msgspec.Struct, frozen=True):
    """A target at rest: the name of the model that it serves and, where it is a single endpoint of it, that one's id.
    ``to`` is what people called it."""

    to: str
    model: str
    endpoint: int | None
    purpose: str
    position: int
    weight: int
    condition: str
    arm: str

    @classmethod
    def of(cls, row: RouteTarget) -> TargetTerms:
        return cls(
            to=str(row),
            model=model_of(row).slug,
            endpoint=row.endpoint_id,
            purpose=str(row.purpose),
            position=row.position,
            weight=row.weight,
            condition=row.condition,
            arm=row.arm,
        )

    @property
    def is_shadow(self) -> bool:
        return self.purpose == Purpose.SHADOW

    @property
    def purpose_words(self) -> str:
        return Purpose(self.purpose).label if self.purpose in Purpose.values else self.purpose


@dataclass(frozen=True, slots=True)
class Sharing:
    strategy: str
    sticky: bool
    hedge_after_ms: int | None
    targets: tuple[TargetTerms, ...]

    @classmethod
    def of_route(cls, route: Route, rows: Iterable[RouteTarget], **columns: Any) -> Sharing:
        """As it would be with these ``rows`` and ``columns``; columns that are not named are the route's."""
        return cls(**{name: columns.get(name, getattr(route, name)) for name in COLUMNS}, targets=_ordered(rows))

    @classmethod
    def of_revision(cls, revision: RouteRevision) -> Sharing:
        targets = tuple(msgspec.convert(each, TargetTerms) for each in revision.targets)
        return cls(revision.strategy, revision.sticky, revision.hedge_after_ms, targets)

    @property
    def strategy_words(self) -> str:
        return Strategy(self.strategy).label

    @property
    def is_weighed(self) -> bool:
        """Whether the targets' weights decide anything."""
        return Strategy(self.strategy).weighs(sticky=self.sticky)

    def columns(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in COLUMNS}

    def is_same_as(self, other: Sharing) -> bool:
        """In all that a person may choose; what a target is called is not."""
        return self._told() == other._told()

    def answers_as(self, other: Sharing) -> bool:
        """Whether no caller could tell the two apart: nothing differs but shadow targets and the names of arms."""
        return self._answering() == other._answering()

    def _told(self) -> tuple[Any, ...]:
        return (self.columns(), [_choices(each) for each in self.targets])

    def _answering(self) -> tuple[Any, ...]:
        answering = [_choices(each) for each in self.targets if not each.is_shadow]
        return (self.columns(), [{**each, "position": place, "arm": ""} for place, each in enumerate(answering)])


def _ordered(rows: Iterable[RouteTarget]) -> tuple[TargetTerms, ...]:
    """Rows that are not saved yet keep their order among those of their position."""
    found: Sequence[RouteTarget] = sorted(rows, key=lambda row: (row.position, row.pk or 0))
    return tuple(TargetTerms.of(row) for row in found)


def _choices(target: TargetTerms) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.to_builtins(target)
    del told["to"]
    return told
