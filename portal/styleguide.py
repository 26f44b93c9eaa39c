"""What the style guide shows: one of everything, on figures that are samples and say so."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

from django import forms
from django.utils import timezone


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
    hard_stop = forms.BooleanField(
        label="Refuse requests over budget", required=False, help_text="Otherwise only warn."
    )


CURL = """curl http://localhost:8000/v1/chat/completions \\
  -H "Authorization: Bearer $LOBBY_API_KEY" \\
  -H "Content-Type: application/json" \\
  -d '{"model": "claude-sonnet", "stream": true,
       "messages": [{"role": "user", "content": "Hello"}]}'"""
PYTHON = """from openai import OpenAI

client = OpenAI(base_url="http://localhost:8000/v1")
answer = client.chat.completions.create(
    model="claude-sonnet",
    messages=[{"role": "user", "content": "Hello"}],
)
print(answer.choices[0].message.content)"""
JAVASCRIPT = """import OpenAI from "openai";

const client = new OpenAI({ baseURL: "http://localhost:8000/v1" });
const answer = await client.chat.completions.create({
  model: "claude-sonnet",
  messages: [{ role: "user", content: "Hello" }],
});
console.log(answer.choices[0].message.content);"""
REQUESTS = (
    ("req_8Zk2", "claude-sonnet", 812, 18_240, 54_720_000_000, "measured", 2),
    ("req_8Zk1", "nova-lite", 240, 932, 83_880_000, "measured", 14),
    ("req_8Zjx", "llama-70b", 2140, 4_410, 3_175_200_000, "interrupted", 190),
    ("req_8Zjw", "gpt-mini", 431, 1_207, 422_450_000, "failed", 2_600),
)


def sample_context() -> dict[str, Any]:
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
        "states": [
            "active",
            "approved",
            "running",
            "queued",
            "estimated",
            "interrupted",
            "failed",
            "denied",
            "revoked",
            "expired",
            "sandbox",
        ],
        "rows": [
            {
                "id": name,
                "model": model,
                "ms": ms,
                "tokens": tokens,
                "cost": cost,
                "state": state,
                "at": timezone.now() - dt.timedelta(minutes=minutes),
            }
            for name, model, ms, tokens, cost, state, minutes in REQUESTS
        ],
        "form": SampleForm({"name": "", "project": "scoring", "scopes": ["read"]}),
        "tabs": [
            {"label": "curl", "lang": "bash", "code": CURL},
            {"label": "Python", "lang": "python", "code": PYTHON},
            {"label": "JavaScript", "lang": "javascript", "code": JAVASCRIPT},
        ],
    }
