"""A conversation's own acts: found, renamed, shared, forked, exported, deleted; and the page behind its permalink."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from django.contrib import messages
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.urls import reverse
from django.utils.text import slugify
from django.views.decorators.http import require_GET, require_POST
from django_htmx.http import HttpResponseClientRedirect

from apps.models.selectors import names_of
from apps.playground import selectors, services
from apps.playground.export import to_json, to_markdown
from apps.playground.markdown import to_html
from apps.playground.messages import messages_for, request_of
from apps.playground.models import Answer, Conversation, Turn
from apps.playground.snippets import code_of
from apps.playground.types import column_of
from apps.playground.views.requests import asked_words, project_named
from apps.tenants.access import can
from apps.tenants.errors import Conflict, NotFound
from apps.tenants.views.requests import Here, page_of, tenant_page

BLIND = "Vote first: this would tell which model is which."


@dataclass(frozen=True, slots=True)
class ShownAnswer:
    answer: Answer
    name: str
    html: str


@dataclass(frozen=True, slots=True)
class ShownTurn:
    turn: Turn
    answers: list[ShownAnswer]


@require_GET
@tenant_page
def conversation_list(request: HttpRequest, here: Here) -> HttpResponse:
    """The reader's own, newest first. ``?open=`` marks the one that is on the page."""
    query = asked_words(request, "q")
    page = page_of(selectors.conversations_for(here.actor, here.tenant, query), request)
    context = {
        "page": page,
        "search": query,
        "open": request.GET.get("open", ""),
        "may_triage": can(here.actor, "feedback.triage", here.tenant),
        "reset_url": request.path if query else "",
    }
    fragment = request.headers.get("HX-Target") == "conversation-list"
    template = "playground/_conversation_list.html" if fragment else "playground/conversation_list.html"
    return render(request, template, context)


@require_POST
@tenant_page
def conversation_rename(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    conversation = services.rename_conversation(
        actor=here.actor, conversation=_own(here, public_id), title=request.POST.get("title", "")
    )
    return _changed(request, conversation)


@require_POST
@tenant_page
def conversation_share(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """With ``off``, the permalink dies."""
    conversation = _own(here, public_id)
    act = services.unshare_conversation if request.POST.get("off") else services.share_conversation
    return _changed(request, act(actor=here.actor, conversation=conversation))


@require_POST
@tenant_page
def conversation_use_case(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    conversation = services.set_use_case(
        actor=here.actor, conversation=_own(here, public_id), use_case=request.POST.get("use_case", "")
    )
    return _changed(request, conversation)


@require_POST
@tenant_page
def conversation_fork(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """One's own copy of a branch, up to ``turn``; it opens."""
    return _fork(request, here, _own(here, public_id))


@require_POST
@tenant_page
def conversation_delete(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    services.delete_conversation(actor=here.actor, conversation=_own(here, public_id))
    messages.success(request, "The conversation is gone for good.")
    back = reverse("playground:index")
    return HttpResponseClientRedirect(back) if request.headers.get("HX-Request") == "true" else redirect(back)


@require_GET
@tenant_page
def conversation_export(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """``?format=json``: the whole tree; else Markdown, of the branch that ends in ``?turn=`` (or the newest)."""
    conversation = _own(here, public_id)
    if conversation.is_blind:
        raise Conflict(BLIND, code="still_blind")
    turns = selectors.turns_of(conversation)
    name = slugify(conversation.title)[:60] or "conversation"
    if request.GET.get("format") == "json":
        body = json.dumps(to_json(conversation, turns), ensure_ascii=False, indent=1)
        return _file(body, "application/json", f"{name}.json")
    chain = selectors.chain_to(turns, _number(request.GET.get("turn")) or (turns[-1].pk if turns else 0))
    text = to_markdown(conversation, chain, names_of(_slugs(chain)))
    return _file(text, "text/markdown; charset=utf-8", f"{name}.md")


@require_GET
@tenant_page
def shared(request: HttpRequest, here: Here, token: str) -> HttpResponse:
    """What is behind a permalink: to read, to say something of, and to go on from in a copy of one's own."""
    conversation = _shared(here, token)
    turns = selectors.turns_of(conversation)
    chain = selectors.chain_to(turns, _number(request.GET.get("turn")) or (turns[-1].pk if turns else 0))
    context = {
        "conversation": conversation,
        "turns": _shown(chain),
        "is_own": here.actor.user is not None and conversation.owner_id == here.actor.user.pk,
        "may_fork": can(here.actor, "model.call", here.tenant) and bool(here.workspace.projects),
        "may_rate": can(here.actor, "example.rate", here.tenant),
        "projects": here.workspace.projects,
        "project": project_named(here, ""),
    }
    return render(request, "playground/shared.html", context)


@require_POST
@tenant_page
def shared_fork(request: HttpRequest, here: Here, token: str) -> HttpResponse:
    return _fork(request, here, _shared(here, token))


@require_GET
@tenant_page
def answer_code(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The call that would give this answer, for one's own terminal."""
    answer = selectors.get_readable_answer_for(here.actor, pk)
    conversation = answer.turn.conversation
    if conversation.tenant_id != here.tenant.pk:
        raise NotFound("There is no such answer.")
    if conversation.is_blind:
        raise Conflict(BLIND, code="still_blind")
    column = column_of(answer.settings)
    said = messages_for(
        selectors.chain_to(selectors.turns_of(conversation, with_content=True), answer.turn_id), answer.column, column
    )
    while said and said[-1]["role"] not in ("user", "system"):
        said.pop()
    made = code_of({"model": answer.model_slug, **request_of(column), "messages": said})
    return render(request, "playground/_code.html", made)


def _own(here: Here, public_id: str) -> Conversation:
    conversation = selectors.get_conversation_for(here.actor, public_id)
    if conversation.tenant_id != here.tenant.pk:
        raise NotFound("There is no such conversation.")
    return conversation


def _shared(here: Here, token: str) -> Conversation:
    conversation = selectors.get_shared_for(here.actor, token)
    if conversation.tenant_id != here.tenant.pk:
        raise NotFound("There is no such conversation.")
    return conversation


def _fork(request: HttpRequest, here: Here, conversation: Conversation) -> HttpResponseRedirect:
    project = project_named(here, request.POST.get("project", ""))
    if project is None:
        raise NotFound("There is no such project.")
    turn = request.POST.get("turn", "")
    copy = services.fork_conversation(
        actor=here.actor,
        conversation=conversation,
        project=project,
        last_turn=_number(turn) or 0 if turn else None,
    )
    return HttpResponseRedirect(_address(copy))


def _changed(request: HttpRequest, conversation: Conversation) -> HttpResponse:
    """The conversation's menu as it is now; without htmx, the conversation."""
    if request.headers.get("HX-Request") != "true":
        return redirect(_address(conversation))
    context = {"conversation": conversation, "permalink": _permalink(request, conversation)}
    response = render(request, "playground/_conversation_state.html", context)
    changed = {"id": conversation.public_id, "title": conversation.title, "shared": conversation.is_shared}
    response["HX-Trigger"] = json.dumps({"playground:conversation": changed})
    return response


def _address(conversation: Conversation) -> str:
    return f"{reverse('playground:index')}?conversation={conversation.public_id}"


def _permalink(request: HttpRequest, conversation: Conversation) -> str:
    if conversation.share_token is None:
        return ""
    return request.build_absolute_uri(reverse("playground:shared", args=[conversation.share_token]))


def _shown(chain: Sequence[Turn]) -> list[ShownTurn]:
    names = names_of(_slugs(chain))
    return [
        ShownTurn(turn, [ShownAnswer(each, names[each.model_slug], to_html(each.text)) for each in turn.answers.all()])
        for turn in chain
    ]


def _slugs(chain: Iterable[Turn]) -> list[str]:
    return [answer.model_slug for turn in chain for answer in turn.answers.all()]


def _file(body: str, kind: str, name: str) -> HttpResponse:
    response = HttpResponse(body, content_type=kind)
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def _number(text: str | None) -> int | None:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 19 else None
