"""What has to hold before a person's release: rules that layers above bring, each asked in its turn.

A rule is registered once, when its app is ready. It is asked by ``release_versions`` inside its transaction, and by the
pages, which say beforehand what would be refused. Going back to an earlier release is never asked about.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from apps.prompts.models import Prompt, PromptVersion


@dataclass(frozen=True, slots=True)
class Refusal:
    """``message`` is a sentence that names the rule, ``remedy`` one that says what to do; ``code`` is for programs."""

    message: str
    remedy: str = ""
    code: str = "release_refused"


# (prompt, environment, label, a version that the label does not mean yet) -> why not, or None.
Rule = Callable[[Prompt, str, str, PromptVersion], Refusal | None]
_rules: list[Rule] = []


def register(rule: Rule) -> None:
    if rule not in _rules:
        _rules.append(rule)


def refusal_of(prompt: Prompt, environment: str, label: str, version: PromptVersion) -> Refusal | None:
    """The first rule's that refuses."""
    return next((found for rule in _rules if (found := rule(prompt, environment, label, version))), None)
