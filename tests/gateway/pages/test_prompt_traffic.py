"""What a prompt's page says of its traffic: what applications asked, and apart from it what Lobby asked itself."""

from __future__ import annotations

import re
from datetime import timedelta

from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.gateway.models import RequestLog
from apps.prompts import services as prompts
from tests.cast import Cast


def test_requests_of_evaluations_and_of_the_playground_are_not_counted_and_said(client: Client, cast: Cast) -> None:
    actor = cast.actor("developer")
    prompt = prompts.create_prompt(actor=actor, tenant=cast.claims, slug="triage", name="Triage")
    for text in ("One", "Two"):
        content = {"messages": [{"role": "user", "content": text}]}
        prompts.save_version(actor=actor, prompt=prompt, content=content)

    def asked(count: int, version: int, **why: bool) -> list[RequestLog]:
        return [
            RequestLog(
                request_id=f"{version}{len(why)}{n:030}", at=timezone.now() - timedelta(minutes=1), tenant=cast.claims,
                project=cast.triage, operation="chat.completions", outcome="ok", http_status=200, prompt=prompt,
                prompt_version=version, cost_picousd=10**10, why=why,
            )
            for n in range(count)
        ]  # fmt: skip

    RequestLog.objects.bulk_create([*asked(3, 1), *asked(1, 2), *asked(40, 2, by_lobby=True)])

    def page(who: str) -> str:
        client.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
        told = client.get(reverse("gateway:prompt-traffic", args=["claims", "triage"])).content.decode()
        return " ".join(re.sub(r"<[^>]+>", " ", told).split())

    told = page("owner")
    assert re.search(r"v2 1 25", told)
    assert re.search(r"v1 3 75", told)
    assert "Not counted: 40 requests of evaluations and the playground, which cost $0.40" in told
    RequestLog.objects.unscoped("test").exclude(why__has_key="by_lobby").delete()
    assert "No application has called it" in page("owner")
    assert "Not counted: 40" in page("owner")
