"""The catalog's pages: a prompt is made, written, published, and forked by another line of business."""

from __future__ import annotations

from django.test import Client
from django.urls import reverse

from apps.prompts.models import Prompt
from tests.cast import Cast


def client(cast: Cast, who: str) -> Client:
    made = Client()
    made.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def prompt_of(slug: str) -> Prompt:
    return Prompt.objects.unscoped("test").select_related("tenant").get(slug=slug)


def test_a_prompts_id_is_made_of_its_name_where_it_is_left_empty(cast: Cast) -> None:
    developer, new = client(cast, "developer"), reverse("prompts:create")
    answer = developer.post(new, {"name": "Claims: Triage!", "slug": "", "tags": "intake, triage"})
    assert answer["Location"] == reverse("prompts:version-create", args=["claims", "claims-triage"])
    assert prompt_of("claims-triage").tags == ["intake", "triage"]
    again = developer.post(new, {"name": "Claims Triage", "slug": ""})
    assert (again.status_code, "already" in again.content.decode()) == (422, True)
    answer = developer.post(new, {"name": "要約", "slug": ""})
    assert (answer.status_code, "cannot be a short name" in answer.content.decode()) == (422, True)
    assert developer.post(new, {"name": "要約", "slug": "summary"}).status_code == 302


def test_what_a_tenant_publishes_another_one_forks_and_is_told_where_from(cast: Cast) -> None:
    developer = client(cast, "developer")
    developer.post(reverse("prompts:create"), {"name": "House style"})
    version = {"role": "user", "content": "Say it plainly: {{text}}", "message": "First"}
    saved = developer.post(reverse("prompts:version-create", args=["claims", "house-style"]), version)
    assert saved["Location"] == reverse("prompts:version-detail", args=["claims", "house-style", 1])
    outsider = client(cast, "outsider")
    shared = reverse("prompts:shared-list")
    assert "House style" not in outsider.get(shared).content.decode()
    publish = reverse("prompts:version-publish", args=["claims", "house-style", 1])
    assert developer.post(publish).status_code == 403, "for tenant admins"
    assert client(cast, "owner").post(publish, {"note": "Plain words."}).status_code == 302
    assert "House style" in outsider.get(shared).content.decode()
    publication = prompt_of("house-style").versions.get().publication
    fork = reverse("prompts:shared-fork", args=[publication.pk])
    made = outsider.post(fork, {"name": "Our style", "slug": "our-style"})
    assert made["Location"] == reverse("prompts:detail", args=["lending", "our-style"])
    page = outsider.get(made["Location"]).content.decode()
    assert "Forked from" in page
    assert "Say it plainly:" in page
    assert outsider.get(reverse("prompts:detail", args=["claims", "house-style"])).status_code == 404
