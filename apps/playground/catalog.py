"""The catalog's prompts as the playground offers them: by label or version, with their variables as a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from apps.gateway.prompts import choose
from apps.playground.types import PromptChoice
from apps.prompts import placeholders
from apps.prompts.content import whole_messages
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.selectors import (
    LabelState,
    default_values,
    get_prompt_for,
    get_version_of,
    label_state_of,
    labels_of,
    search_prompts,
)
from apps.prompts.types import DEFAULT_LABEL, plain
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Project, Tenant

# In one list to choose from; a prompt that is not among them is opened from its page.
MOST_OFFERED = 300


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a choice means now. The gateway says with the answer which version it served."""

    prompt: Prompt
    version: PromptVersion


def chosen_version(actor: Actor, project: Project, choice: PromptChoice) -> Chosen:
    """Raises ``NotFound``, alike for an unknown prompt and another tenant's."""
    prompt = get_prompt_for(actor, project.tenant.slug, choice.id)
    if prompt.is_archived:
        raise NotFound(f"{prompt.name} is archived.", remedy="Whoever may release it can restore it.")
    if choice.version is not None:
        return Chosen(prompt, get_version_of(prompt, choice.version))
    label = choice.label or DEFAULT_LABEL
    state = label_state_of(prompt, project.environment, label)
    if state is None:
        raise NotFound(
            f"{prompt.name} has no label {label!r} in the environment {project.environment!r} of this project.",
            code="prompt_label_not_found",
            remedy="Choose a version, or release one there.",
        )
    return Chosen(prompt, _served(actor, prompt, state))


def _served(actor: Actor, prompt: Prompt, state: LabelState) -> PromptVersion:
    """Of a label that is split: the one that the gateway gives this member."""
    versions = {share.version.number: share.version for share in state.shares}
    shares = tuple((share.version.number, share.weight) for share in state.shares)
    member = actor.user.pk if actor.user is not None else ""
    number, _ = choose(shares, f"{prompt.pk}:{state.label}:{member}")
    return versions[number]


def offered_prompts(actor: Actor, tenant: Tenant, project: Project | None) -> list[dict[str, Any]]:
    """What a column may choose from: each prompt with the labels of the project's environment. Three queries."""
    rows = search_prompts(actor, tenant).exclude(versions=None).order_by("name", "pk")
    prompts = list(rows[:MOST_OFFERED])
    labels = labels_of(prompts)
    return [
        {
            "id": prompt.slug,
            "name": prompt.name,
            "newest": getattr(prompt, "newest", None),
            "labels": [
                {
                    "name": state.label,
                    "version": _served(actor, prompt, state).number,
                    "split": state.is_split,
                }
                for state in labels.get(prompt.pk, ())
                if project is not None and state.environment == project.environment
            ],
        }
        for prompt in prompts
    ]


def shown_version(chosen: Chosen) -> dict[str, Any]:
    """One version for a column: what it says, what it needs, and what a form for that begins with."""
    content = chosen.version.content
    messages = whole_messages(content)
    order = placeholders.variables_in([each.content for each in messages])
    names = [name for name in (*order, *content.variables) if name in content.variables]
    begin = default_values(content.variables)
    return {
        "id": chosen.prompt.slug,
        "name": chosen.prompt.name,
        "version": chosen.version.number,
        "model": content.model,
        "parameters": plain(content.parameters),
        "tools": len(content.tools),
        "has_schema": content.output_schema is not None,
        "messages": [{"role": each.role, "pieces": placeholders.pieces(each.content)} for each in messages],
        "variables": [
            {
                "name": name,
                "schema": content.variables[name],
                "required": "default" not in content.variables[name],
                **({"begin": begin[name]} if name in begin else {}),
            }
            for name in dict.fromkeys(names)
        ],
    }


def names_of_prompts(tenant: Tenant, slugs: Sequence[str]) -> dict[str, str]:
    """Prompts' names by slug, for slugs that the reader was shown already; what is no more keeps its slug."""
    rows = Prompt.objects.for_tenant(tenant).filter(slug__in=set(slugs))
    named = dict(rows.values_list("slug", "name"))
    return {slug: named.get(slug, slug) for slug in slugs}
