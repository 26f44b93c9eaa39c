from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from apps.prompts import services
from apps.prompts.models import Prompt, PromptVersion
from tests.cast import Cast

Make = Callable[..., Prompt]


def said(*texts: str, **more: Any) -> dict[str, Any]:
    """A version's content: the first text as the system's, the others as the user's."""
    roles = ["system", *["user"] * (len(texts) - 1)]
    return {"messages": [{"role": r, "content": t} for r, t in zip(roles, texts, strict=True)], **more}


@pytest.fixture
def prompt(cast: Cast) -> Prompt:
    return services.create_prompt(
        actor=cast.actor("developer"), tenant=cast.claims, slug="triage", name="Claims triage"
    )


@pytest.fixture
def save(cast: Cast, prompt: Prompt) -> Callable[..., PromptVersion]:
    """Save a version of ``prompt`` with these texts."""

    def make(*texts: str, by: str = "developer", **more: Any) -> PromptVersion:
        content = said(*texts, **more)
        return services.save_version(actor=cast.actor(by), prompt=prompt, content=content).version

    return make
