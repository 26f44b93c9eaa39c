"""What tenants share: publish, look at, fork."""

from __future__ import annotations

from django.contrib import messages
from django.core.paginator import Paginator
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect, render
from django.views.decorators.http import require_GET, require_POST

from apps.prompts import placeholders, selectors, services
from apps.prompts.content import variables_in_order, whole_messages
from apps.prompts.forms import ForkForm
from apps.prompts.models import PromptVersion
from apps.prompts.types import UseCase
from apps.prompts.variables import shown
from apps.tenants.access import can, require
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.views.requests import Here, tenant_page

PER_PAGE = 24


@require_GET
@tenant_page
def shared_list(request: HttpRequest, here: Here) -> HttpResponse:
    text = request.GET.get("q", "").replace("\x00", "").strip()[:200]
    use_case = request.GET.get("use_case", "")
    rows = selectors.publications_for(here.actor, text, use_case)
    filtered = bool(text or use_case)
    context = {
        "page": Paginator(rows, PER_PAGE).get_page(request.GET.get("page")),
        "text": text,
        "filtered": filtered,
        "reset_url": request.path if filtered else "",
        "selects": [{"name": "use_case", "label": "Any use case", "options": UseCase.choices, "value": use_case}],
        "may_publish": can(here.actor, "prompt.publish", here.tenant),
    }
    return render(request, "prompts/shared_list.html", context)


@require_GET
@tenant_page
def shared_detail(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    publication = selectors.get_publication_for(here.actor, pk)
    version = publication.version
    content = version.content
    context = {
        "publication": publication,
        "version": version,
        "prompt": version.prompt,
        "content": content,
        "messages_shown": [(each.role, placeholders.pieces(each.content)) for each in whole_messages(content)],
        "variables": [shown(name, schema) for name, schema in variables_in_order(content).items()],
        "form": ForkForm(initial={"name": version.prompt.name, "slug": version.prompt.slug}),
        "may_fork": can(here.actor, "prompt.edit", here.tenant),
        "here_tenant": here.tenant,
    }
    return render(request, "prompts/shared_detail.html", context)


@require_POST
@tenant_page
def shared_fork(request: HttpRequest, here: Here, pk: int) -> HttpResponse:
    require(here.actor, "prompt.edit", here.tenant, what="fork a prompt")
    publication = selectors.get_publication_for(here.actor, pk)
    return _fork(request, here, publication.version) or redirect("prompts:shared-detail", pk=pk)


@require_POST
@tenant_page
def version_fork(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    """A new prompt of the tenant in which one works, from a version of one's own."""
    version = selectors.get_version_for(here.actor, tenant, prompt, number)
    back = redirect("prompts:version-detail", tenant=tenant, prompt=prompt, number=number)
    return _fork(request, here, version) or back


@require_POST
@tenant_page
def version_publish(request: HttpRequest, here: Here, tenant: str, prompt: str, number: int) -> HttpResponse:
    """Publishes to every tenant, or withdraws with ``withdraw`` in the form."""
    version = selectors.get_version_for(here.actor, tenant, prompt, number)
    try:
        if request.POST.get("withdraw"):
            services.withdraw_publication(actor=here.actor, version=version)
            messages.success(request, "It is published no more. What was forked stays.")
        else:
            services.publish_version(actor=here.actor, version=version, note=request.POST.get("note", ""))
            messages.success(request, "Every tenant can read and fork it now.")
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
    return redirect("prompts:version-detail", tenant=tenant, prompt=prompt, number=number)


def _fork(request: HttpRequest, here: Here, version: PromptVersion) -> HttpResponse | None:
    form = ForkForm(request.POST)
    try:
        if not form.is_valid():
            raise Invalid("A name and an id are needed for the fork.")
        fork = services.fork_version(actor=here.actor, version=version, tenant=here.tenant, **form.cleaned_data)
    except (Invalid, Conflict) as error:
        messages.error(request, str(error))
        return None
    messages.success(request, f"{fork.name} is now a prompt of {here.tenant.name}.")
    return redirect("prompts:detail", tenant=here.tenant.slug, prompt=fork.slug)
