"""A prompt's page with its versions, the editor, and two versions side by side."""

from __future__ import annotations

import json
from typing import Any

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.prompts import editor, placeholders, selectors, services
from apps.prompts.content import variables_in_order
from apps.prompts.diff import diff
from apps.prompts.editor import Draft
from apps.prompts.forms import ReleaseForm
from apps.prompts.models import Prompt, PromptVersion
from apps.prompts.snippets import prompt_snippets
from apps.prompts.types import DEFAULT_LABEL, plain
from apps.prompts.variables import shown
from apps.tenants.access import can, require
from apps.tenants.errors import DomainError
from apps.tenants.views.requests import Here, tenant_page

SHOWN_VERSIONS = 100
EMPTY = Draft(messages=[("system", ""), ("user", "")])


@require_GET
@tenant_page
def prompt_detail(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """Its newest version; or, without one, what to do first."""
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    newest = selectors.versions_of(found).first()
    if newest is None:
        return render(request, "prompts/prompt_detail.html", _common(here, found, None))
    return _version_page(request, here, found, newest)


@require_GET
@tenant_page
def version_detail(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    return _version_page(request, here, found, selectors.get_version_of(found, number))


def _version_page(request: HttpRequest, here: Here, prompt: Prompt, version: PromptVersion) -> HttpResponse:
    version.prompt = prompt
    content = version.content
    context = _common(here, prompt, version)
    pointed = context["labels_by_version"].get(version.number, [])
    values = selectors.default_values(content.variables)
    reference: dict[str, Any] = {"id": prompt.slug}
    if pointed:
        label = pointed[0][0].label
        if label != DEFAULT_LABEL:
            reference["label"] = label
    else:
        reference["version"] = version.number
    variables = variables_in_order(content)
    if variables:
        reference["variables"] = {
            name: values.get(name, "…")
            for name, schema in variables.items()
            if name in values or "default" not in schema
        }
    context |= {
        "content": content,
        "messages_shown": [(each.role, placeholders.pieces(each.content)) for each in content.messages],
        "variables": [shown(name, schema) for name, schema in variables.items()],
        "parameters": [(name, placeholders.written(value)) for name, value in plain(content.parameters).items()],
        "tools": content.tools,
        "schema_json": json.dumps(content.output_schema, indent=2, ensure_ascii=False),
        "includes": selectors.includes_of(version),
        "used_by": selectors.used_by(version),
        "pointed": pointed,
        "publication": selectors.publication_of(version),
        "tabs": prompt_snippets(base_url=settings.GATEWAY_PUBLIC_URL, reference=reference, model=content.model),
        "release_form": ReleaseForm(),
        "weights": _weights(context["versions"], version),
    }
    return render(request, "prompts/prompt_detail.html", context)


def _common(here: Here, prompt: Prompt, version: PromptVersion | None) -> dict[str, Any]:
    states = selectors.labels_of([prompt]).get(prompt.pk, [])
    by_version = selectors.labels_by_version(states)
    versions = list(selectors.versions_of(prompt)[:SHOWN_VERSIONS])
    return {
        "prompt": prompt,
        "version": version,
        "versions": versions,
        "timeline": [(each, by_version.get(each.number, [])) for each in versions],
        "labels": states,
        "labels_by_version": by_version,
        "published": selectors.published_numbers(prompt),
        "may_edit": can(here.actor, "prompt.edit", prompt.tenant) and not prompt.is_archived,
        "may_release": can(here.actor, "prompt.release", prompt.tenant),
        "may_publish": can(here.actor, "prompt.publish", prompt.tenant),
    }


def _weights(versions: list[PromptVersion], chosen: PromptVersion) -> list[tuple[PromptVersion, int | str]]:
    """The rows of the release dialog: the version that is looked at with all of the traffic."""
    rows = versions[:6]
    if chosen not in rows:
        rows = [chosen, *rows[:5]]
    return [(each, 100 if each == chosen else "") for each in rows]


@require_http_methods(["GET", "POST"])
@tenant_page
def version_create(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """The editor, which begins with ``?from=N``, else with the newest version."""
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    require(here.actor, "prompt.edit", found.tenant, what="save a version of this prompt")
    parent = _asked_version(found, request.POST.get("parent") or request.GET.get("from", ""))
    carried = selectors.overridden_variables(parent) if parent is not None else {}
    message, error = "", None
    if request.method == "POST":
        draft, message = editor.draft_from(request.POST), request.POST.get("message", "")
        try:
            saved = services.save_version(
                actor=here.actor,
                prompt=found,
                content=editor.content_of(draft),
                message=message,
                parent=parent,
                carried=carried,
            )
        except DomainError as refused:
            error = refused
        else:
            number = saved.version.number
            if saved.created:
                messages.success(request, f"Version {number} is saved. Nothing uses it until it is released.")
            else:
                messages.info(request, f"Version {number} says exactly this already: nothing new was saved.")
            return redirect("prompts:version-detail", tenant=tenant, prompt=prompt, number=number)
    else:
        draft = editor.draft_of(parent.content) if parent is not None else EMPTY
    context = {
        "prompt": found,
        "parent": parent,
        "message": message,
        "carried": carried,
        "error": error,
        "error_field": editor.field_in_words(error.field or "") if error is not None else "",
        **_editor_parts(draft),
    }
    return render(request, "prompts/version_form.html", context, status=422 if error else 200)


@require_POST
@tenant_page
def preview(request: HttpRequest, here: Here) -> HttpResponse:
    """The editor as it stands: its variables found anew, and its messages filled in with their examples."""
    draft = editor.draft_from(request.POST)
    asked = [row.name for row in draft.variables]
    context = {**_editor_parts(draft), "renew_variables": asked != draft.found()}
    return render(request, "prompts/_preview.html", context)


def _editor_parts(draft: Draft) -> dict[str, Any]:
    values = {name: placeholders.written(value) for name, value in editor.sample_values(draft).items()}
    filled = [
        (
            role,
            [
                (kind, values.get(_name(text), text) if kind == "variable" else text)
                for kind, text in placeholders.pieces(each)
            ],
        )
        for role, each in draft.messages
        if each.strip()
    ]
    return {
        "draft": draft,
        "rows": draft.rows(),
        "filled": filled,
        "roles": editor.ROLES,
        "efforts": editor.EFFORTS,
        "numbers": [(name, editor.in_words(name), draft.parameters.get(name, "")) for name in editor.NUMBERS],
    }


def _name(placeholder: str) -> str:
    return placeholder.strip("{} \t")


@require_GET
@tenant_page
def compare(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    """``?from=N&to=M``; by default the newest with its parent."""
    found = selectors.get_prompt_for(here.actor, tenant, prompt)
    versions = list(selectors.versions_of(found)[:SHOWN_VERSIONS])
    new = _asked_version(found, request.GET.get("to", ""))
    wanted = request.GET.get("from", "")
    old = _asked_version(found, wanted) if wanted else new and (new.parent or versions[-1])
    context = {"prompt": found, "versions": versions, "old": old, "new": new}
    if old is not None and new is not None:
        context["diff"] = diff(old.content, new.content)
    return render(request, "prompts/compare.html", context)


def _asked_version(prompt: Prompt, number: str) -> PromptVersion | None:
    """The version named, or the newest where none is; None of a prompt without versions. Raises ``NotFound``."""
    if not number:
        return selectors.versions_of(prompt).first()
    is_number = number.isascii() and number.isdigit() and len(number) < 10
    return selectors.get_version_of(prompt, int(number) if is_number else 0)
