"""What a gate stands before: a prompt's label, or a route. What is in force there, and how that is changed."""

from __future__ import annotations

from typing import Any

from apps.evaluation.models import GateDecision
from apps.evaluation.selectors.gates import main_version
from apps.gateway.models import Route, RouteRevision
from apps.gateway.services.targets import locked as locked_route
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.selectors import label_state_of
from apps.prompts.services.prompts import locked as locked_prompt

Owner = Prompt | Route
Subject = PromptVersion | RouteRevision


def locked(owner: Owner) -> Owner:
    """By the lock under which what is in force moves, too."""
    return locked_route(owner) if isinstance(owner, Route) else locked_prompt(owner)


def owner_of(subject: Subject) -> Owner:
    return subject.route if isinstance(subject, RouteRevision) else subject.prompt


def adopt(subject: Subject, owner: Owner) -> None:
    """``subject`` with its owner as it is now."""
    if isinstance(subject, RouteRevision):
        assert isinstance(owner, Route)
        subject.route = owner
    else:
        assert isinstance(owner, Prompt)
        subject.prompt = owner


def adopt_all(decision: GateDecision, owner: Owner) -> None:
    """The decision, and what it is about, with the owner as it is now."""
    if isinstance(owner, Route):
        decision.route = owner
    else:
        decision.prompt = owner
    adopt(decision.subject, owner)


def in_force(owner: Owner, environment: str, label: str) -> Subject | None:
    """What a new one is compared with. A route knows neither label nor environment."""
    if isinstance(owner, Route):
        return owner.revision
    return main_version(label_state_of(owner, environment, label))


def model_of(subject: Subject) -> str:
    """What it says of the model: nothing, or the one that it is called with."""
    return subject.called if isinstance(subject, RouteRevision) else subject.model


def about(subject: Subject) -> dict[str, Any]:
    """The columns of a decision about it."""
    if isinstance(subject, RouteRevision):
        return {"route": subject.route, "revision": subject}
    return {"prompt": subject.prompt, "version": subject}
