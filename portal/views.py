"""The portal's own pages: choosing where to work, and the living style guide. What belongs to a wing lives in its app."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import redirect, render
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.http import require_GET, require_POST

from apps.tenants.workspace import choose, get_workspace


@login_required
@require_POST
def switch_workspace(request: HttpRequest) -> HttpResponse:
    """Work in another tenant (``tenant``) and project (``project``, empty for all), then go back to ``next``."""
    if not choose(request, tenant_slug=request.POST.get("tenant", ""), project_slug=request.POST.get("project", "")):
        raise Http404
    workspace = get_workspace(request)
    place = workspace.project.name if workspace.project else workspace.tenant
    messages.success(request, f"You are now working in {place}.")
    target = request.POST.get("next", "")
    if url_has_allowed_host_and_scheme(target, allowed_hosts={request.get_host()}, require_https=request.is_secure()):
        return HttpResponseRedirect(target)
    return redirect("/")


class SampleForm(forms.Form):
    """Every kind of field, for the style guide."""

    name = forms.CharField(help_text="What people will see. You can change it later.", max_length=60)
    project = forms.ChoiceField(choices=[("scoring", "Batch scoring"), ("support", "Support chat")])
    limit = forms.IntegerField(label="Requests per minute", required=False, min_value=1)
    expires = forms.DateField(required=False, widget=forms.DateInput(attrs={"type": "date"}))
    purpose = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), required=False)
    scopes = forms.MultipleChoiceField(
        choices=[("inference", "Call models"), ("read", "Read the management API")], widget=forms.CheckboxSelectMultiple
    )
    hard_stop = forms.BooleanField(label="Refuse requests over budget", required=False, help_text="Otherwise only warn.")


def sample_data() -> dict[str, Any]:
    """Figures with the shape of real ones; the style guide says that they are samples."""
    days = [timezone.now() - dt.timedelta(days=13 - day) for day in range(14)]
    wave = [round(40 + 18 * math.sin(day / 2) + day * 2.5, 2) for day in range(14)]
    labels = [day.strftime("%-d %b") for day in days]
    return {
        "spark": wave,
        "spark_down": [round(620 - 14 * day + 30 * math.sin(day), 1) for day in range(14)],
        "spend_chart": {
            "labels": labels,
            "series": [
                {"name": "support-chat", "values": wave},
                {"name": "claims-triage", "values": [round(value * 0.6, 2) for value in reversed(wave)]},
                {"name": "batch-scoring", "values": [round(value * 0.3 + 4, 2) for value in wave]},
            ],
        },
        "latency_chart": {
            "labels": labels,
            "series": [
                {"name": "p50", "values": [round(380 + 40 * math.cos(day / 1.7)) for day in range(14)]},
                {"name": "p95", "values": [round(1150 + 210 * math.sin(day / 1.4)) for day in range(14)]},
            ],
        },
        "shares": [
            {"label": "support-chat", "value": 62},
            {"label": "claims-triage", "value": 24},
            {"label": "batch-scoring", "value": 14},
        ],
        "states": "active approved running queued estimated interrupted failed denied revoked expired sandbox".split(),
        "rows": [
            {"id": "req_8Zk2", "model": "claude-sonnet", "ms": 812, "tokens": 18240, "cost": 54_720_000_000, "state": "measured", "ago": 2},
            {"id": "req_8Zk1", "model": "nova-lite", "ms": 240, "tokens": 932, "cost": 83_880_000, "state": "measured", "ago": 14},
            {"id": "req_8Zjx", "model": "llama-70b", "ms": 2140, "tokens": 4410, "cost": 3_175_200_000, "state": "interrupted", "ago": 190},
            {"id": "req_8Zjw", "model": "gpt-mini", "ms": 431, "tokens": 1207, "cost": 422_450_000, "state": "failed", "ago": 2_600},
        ],
        "tabs": [
            {
                "label": "curl",
                "lang": "bash",
                "code": 'curl http://localhost:8000/v1/chat/completions \\\n  -H "Authorization: Bearer $LOBBY_API_KEY" \\\n'
                '  -H "Content-Type: application/json" \\\n'
                '  -d \'{"model": "claude-sonnet", "stream": true,\n       "messages": [{"role": "user", "content": "Hello"}]}\'',
            },
            {
                "label": "Python",
                "lang": "python",
                "code": 'from openai import OpenAI\n\nclient = OpenAI(base_url="http://localhost:8000/v1")\n'
                'answer = client.chat.completions.create(\n    model="claude-sonnet",\n'
                '    messages=[{"role": "user", "content": "Hello"}],\n)\nprint(answer.choices[0].message.content)',
            },
            {
                "label": "JavaScript",
                "lang": "javascript",
                "code": 'import OpenAI from "openai";\n\nconst client = new OpenAI({ baseURL: "http://localhost:8000/v1" });\n'
                'const answer = await client.chat.completions.create({\n  model: "claude-sonnet",\n'
                '  messages: [{ role: "user", content: "Hello" }],\n});\nconsole.log(answer.choices[0].message.content);',
            },
        ],
    }


@require_GET
def styleguide(request: HttpRequest) -> HttpResponse:
    """Every component on one page, for staff (and for anybody under ``DEBUG``)."""
    if not (settings.DEBUG or getattr(request.user, "is_staff", False)):
        raise Http404
    context = sample_data()
    for row in context["rows"]:
        row["at"] = timezone.now() - dt.timedelta(minutes=row["ago"])
    context["form"] = SampleForm({"name": "", "project": "scoring", "scopes": ["read"]})
    return render(request, "styleguide.html", context)
