"""What an answer becomes elsewhere: a prompt of the catalog, an offer in the golden-dataset inbox."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse, JsonResponse
from django.shortcuts import render
from django.utils.text import slugify
from django.views.decorators.http import require_http_methods, require_POST

from apps.playground import selectors, services
from apps.playground.forms import NewPromptForm
from apps.tenants.access import require
from apps.tenants.errors import DomainError
from apps.tenants.forms import add_domain_error
from apps.tenants.views.requests import Here, tenant_page

NAME_CHARACTERS = 80


@require_http_methods(["GET", "POST"])
@tenant_page
def prompt_save(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """The form that makes a prompt of an answer of one's own, for a dialog; posted, it answers where the prompt is."""
    answer = selectors.get_answer_for(here.actor, pk)
    conversation = answer.turn.conversation
    require(here.actor, "prompt.edit", conversation.tenant, what="create a prompt")
    title = conversation.title[:NAME_CHARACTERS].rstrip("\N{HORIZONTAL ELLIPSIS}")
    initial = {"name": title, "slug": slugify(title)[:50].strip("-"), "use_case": conversation.use_case}
    form = NewPromptForm(request.POST or None, initial=initial)
    status = 200
    if request.method == "POST":
        if form.is_valid():
            try:
                version = services.save_as_prompt(actor=here.actor, answer=answer, **form.cleaned_data)
            except DomainError as error:
                add_domain_error(form, error)
            else:
                return render(request, "playground/_prompt_saved.html", {"prompt": version.prompt})
        status = 422
    return render(request, "playground/_prompt_form.html", {"form": form, "answer": answer}, status=status)


@require_POST
@tenant_page
def inbox_offer(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    """An answer of one's own, with what one said of it, for those who keep the datasets."""
    services.offer_answer(actor=here.actor, answer=selectors.get_answer_for(here.actor, pk))
    return JsonResponse({"message": "It is in the golden-dataset inbox, without personal data."})
