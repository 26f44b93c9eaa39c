"""What a prompt's versions were asked and cost: a part of the prompt's page, loaded after it."""

from __future__ import annotations

from datetime import timedelta

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import timezone
from django.views.decorators.http import require_GET

from apps.gateway import selectors
from apps.prompts.selectors import get_prompt_for
from apps.tenants.views.requests import Here, tenant_page

DAYS = 30


@require_GET
@tenant_page
def prompt_traffic(request: HttpRequest, here: Here, tenant: str, prompt: str) -> HttpResponse:
    found = get_prompt_for(here.actor, tenant, prompt)
    traffic = selectors.prompt_traffic(here.actor, found, timezone.now() - timedelta(days=DAYS))
    shares = [{"label": f"v{row.number}", "value": row.requests} for row in traffic.versions]
    context = {"prompt": found, "traffic": traffic, "rows": traffic.versions, "shares": shares}
    return render(request, "gateway/_prompt_traffic.html", context)
