"""The example store: good exchanges that members share, find, rate and fork."""

from __future__ import annotations

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.urls import reverse
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from apps.models.selectors import names_of
from apps.playground import selectors, services
from apps.playground.forms import ExampleForm
from apps.playground.markdown import excerpt, to_html
from apps.playground.models import SavedExample
from apps.playground.types import UseCase
from apps.playground.views.requests import asked_words, project_named
from apps.tenants.access import can
from apps.tenants.errors import DomainError, NotFound
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, page_of, tenant_page

TITLE_CHARACTERS = 80
EXCERPT_CHARACTERS = 180


@require_GET
@tenant_page
def example_list(request: HttpRequest, here: Here) -> HttpResponse:
    query = asked_words(request, "q")
    use_case = request.GET.get("use_case", "") if request.GET.get("use_case") in UseCase.values else ""
    sort = "best" if request.GET.get("sort") == "best" else ""
    rows = selectors.examples_for(here.actor, here.tenant, query, use_case, best_first=bool(sort))
    page = page_of(rows, request)
    names = names_of(example.model_slug for example in page)
    filtered = bool(query or use_case)
    context = {
        "page": page,
        "shown": [
            (example, names[example.model_slug], example.note or excerpt(example.answer, EXCERPT_CHARACTERS))
            for example in page
        ],
        "search": query,
        "filtered": filtered,
        "reset_url": request.path if filtered or sort else "",
        "may_call": can(here.actor, "model.call", here.tenant),
        "may_triage": can(here.actor, "feedback.triage", here.tenant),
        "selects": [
            {"name": "use_case", "label": "Any use case", "options": UseCase.choices, "value": use_case},
            {"name": "sort", "label": "Newest first", "options": [("best", "Best rated first")], "value": sort},
        ],
    }
    return render(request, "playground/example_list.html", context)


@require_GET
@tenant_page
def example_detail(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    example = _example(here, public_id)
    author = here.actor.user is not None and example.author_id == here.actor.user.pk
    context = {
        "example": example,
        "model_name": names_of([example.model_slug])[example.model_slug],
        "system": next((each["content"] for each in example.messages if each["role"] == "system"), ""),
        "exchange": _exchange(example),
        "answer": to_html(example.answer),
        "parameters": [
            (name.replace("_", " "), value) for name, value in example.settings.get("parameters", {}).items()
        ],
        "may_fork": can(here.actor, "model.call", example.tenant) and bool(here.workspace.projects),
        "may_remove": author or can(here.actor, "example.remove", example.tenant),
        "may_rate": can(here.actor, "example.rate", example.tenant),
        "may_triage": can(here.actor, "feedback.triage", here.tenant),
        "projects": here.workspace.projects,
        "project": project_named(here, ""),
        **_rating(here, example),
    }
    return render(request, "playground/example_detail.html", context)


@require_POST
@tenant_page
def example_rate(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """The stars as they stand then; without htmx, the example's page."""
    example = _example(here, public_id)
    stars = request.POST.get("stars", "")
    number = int(stars) if stars in {"1", "2", "3", "4", "5"} else 0
    services.rate_example(actor=here.actor, example=example, stars=number)
    if request.headers.get("HX-Request") != "true":
        return redirect("playground:example-detail", public_id)
    again = _example(here, public_id)
    return render(
        request, "playground/_example_stars.html", {"example": again, "may_rate": True, **_rating(here, again)}
    )


@require_POST
@tenant_page
def example_fork(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    """The exchange as a conversation of the reader's own, which opens."""
    example = _example(here, public_id)
    project = project_named(here, request.POST.get("project", ""))
    if project is None:
        raise NotFound("There is no such project.")
    conversation = services.fork_example(actor=here.actor, example=example, project=project)
    return redirect(f"{reverse('playground:index')}?conversation={conversation.public_id}")


@require_POST
@tenant_page
def example_remove(request: HttpRequest, here: Here, public_id: str) -> HttpResponse:
    services.remove_example(actor=here.actor, example=_example(here, public_id))
    messages.success(request, "The example is gone.")
    return redirect("playground:example-list")


@require_http_methods(["GET", "POST"])
@tenant_page
def example_share(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The form that shares an answer of one's own, for a dialog; posted, it answers where the example is now."""
    answer = selectors.get_answer_for(here.actor, pk)
    conversation = answer.turn.conversation
    initial = {"title": conversation.title[:TITLE_CHARACTERS], "use_case": conversation.use_case}
    form = ExampleForm(request.POST or None, initial=initial)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            values = form.cleaned_data
            try:
                example = services.share_example(
                    actor=here.actor,
                    answer=answer,
                    title=values["title"],
                    use_case=values["use_case"],
                    tags=form.tags_list(),
                    note=values["note"],
                )
            except DomainError as error:
                add_domain_error(form, error)
            else:
                return render(request, "playground/_example_shared.html", {"example": example})
        status = 422
    return render(request, "playground/_example_form.html", {"form": form, "answer": answer}, status=status)


def _example(here: Here, public_id: str) -> SavedExample:
    """One of the tenant that the reader works in."""
    example = selectors.get_example_for(here.actor, public_id)
    if example.tenant_id != here.tenant.pk:
        raise NotFound("There is no such example.")
    return example


def _rating(here: Here, example: SavedExample) -> dict[str, object]:
    return {"own_stars": selectors.rating_of(here.actor, example), "star_numbers": range(1, 6)}


def _exchange(example: SavedExample) -> list[dict[str, str]]:
    """Who said what before the answer; a tool's result counts as the person's, who typed it in."""
    said = []
    for message in example.messages:
        if message["role"] == "system":
            continue
        is_model = message["role"] == "assistant"
        content = str(message.get("content") or "")
        if content:
            said.append({"by": "model" if is_model else "person", "html": to_html(content) if is_model else ""})
            said[-1]["text"] = content
    return said
