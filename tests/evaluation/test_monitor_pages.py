"""The pages of monitors: set up, read, acted on, deleted; and by whom."""

from __future__ import annotations

from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from apps.evaluation import webhooks
from apps.evaluation.models import Dataset, Evaluation, Example, InboxItem, Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.selectors import monitors as selectors
from apps.prompts.models import Release
from apps.tenants.models import AuditEntry, Project
from apps.tenants.services import update_project
from tests.evaluation.watching import GOOD, REFUSED, Watch, check
from tests.fakes.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.django_db
LIST = "/monitors/"
PAGE = "/monitors/claims/refusals/"


def client(watch: Watch, who: str) -> Client:
    made = Client()
    made.force_login(watch.cast[who], backend="django.contrib.auth.backends.ModelBackend")
    return made


def read(here: Client, address: str, status: int = 200) -> str:
    answer = here.get(address)
    assert answer.status_code == status
    return str(answer.content.decode())


def act(here: Client, name: str, status: int = 302) -> None:
    assert here.post(f"{PAGE}act/", {"act": name}).status_code == status


def breached(watch: Watch, **facts: Any) -> Monitor:
    """One that was in control, and is not: its canary was rolled back."""
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 20, *[REFUSED] * 10)
    monitor = watch.monitor(**facts)
    assert check(watch, monitor).verdict == "out"
    return monitor


FORM: dict[str, Any] = {
    "name": "Refusals", "prompt": "triage", "environment": "prod", "label": "live", "model": "", "scorers": ["refusal"],
    "project": "triage", "window_minutes": "15", "sample_size": "30", "minimum_sample": "20", "baseline": "release",
    "baseline_since": "", "baseline_until": "", "chart": "shewhart", "sigmas": "2.5", "webhook_url": "",
    "rolls_back": "on",
}  # fmt: skip


def test_the_empty_list_says_that_a_project_has_to_agree_first(watch: Watch) -> None:
    update_project(actor=watch.cast.actor("owner"), project=watch.cast.triage, content_percent=0)
    asked = read(client(watch, "owner"), LIST)
    assert "Set “Samples for monitors”" in asked or "choose Edit and set “Samples for monitors”" in asked
    assert "a tenant admin decides it" in read(client(watch, "viewer"), LIST)
    assert "No project keeps samples." in read(client(watch, "scientist"), "/monitors/new/")
    update_project(actor=watch.cast.actor("owner"), project=watch.cast.triage, content_percent=20)
    assert "keeps 20 % of its requests" in read(client(watch, "viewer"), LIST)


def test_only_a_tenant_admin_finds_the_samples_of_a_project_open_to_change(watch: Watch) -> None:
    address = reverse("tenants:project-edit", args=["claims", "triage"])
    said = {"name": "Triage", "environment": "prod", "content_percent": "0"}
    assert "disabled" in read(client(watch, "developer"), address)
    assert client(watch, "developer").post(address, said).status_code == 302
    assert Project.objects.unscoped("test").get(pk=watch.cast.triage.pk).content_percent == 100
    assert client(watch, "owner").post(address, said).status_code == 302
    assert Project.objects.unscoped("test").get(pk=watch.cast.triage.pk).content_percent == 0


def test_a_monitor_is_set_up_in_the_form_which_keeps_what_was_said_and_names_what_is_wrong(watch: Watch) -> None:
    here = client(watch, "scientist")
    assert 'value="triage" selected' in read(here, "/monitors/new/?prompt=triage")
    wrong = here.post("/monitors/new/", FORM | {"minimum_sample": "40", "name": "Kept as typed", "scorers": []})
    page = wrong.content.decode()
    assert (wrong.status_code, "Kept as typed" in page, "see " in page) == (422, True, True)
    far = here.post("/monitors/new/", FORM | {"minimum_sample": "40"}).content.decode()
    assert 'id="id_minimum_sample_error"' in far
    assert here.post("/monitors/new/", FORM | {"recipients": [str(watch.cast["owner"].pk)]}).status_code == 302
    monitor = selectors.get_monitor_for(watch.cast.actor("viewer"), "claims", "refusals")
    assert (monitor.sigmas, monitor.window_minutes, monitor.rolls_back) == (2.5, 15, True)
    assert [each.email for each in monitor.recipients.all()] == ["owner@example.com"]

    edit = f"{PAGE}edit/"
    assert "That stays as it is" in read(here, edit)
    with webhook_receiver() as receiver:
        shown = here.post(edit, FORM | {"webhook_url": receiver.url, "sigmas": "3"})
        monitor.refresh_from_db()
        secret = webhooks.secret_of(monitor)
        assert (shown.status_code, secret in shown.content.decode()) == (200, True)
        assert (monitor.sigmas, monitor.recipients.count()) == (3.0, 0)
        assert here.post(edit, FORM | {"webhook_url": receiver.url}).status_code == 302, "no new address, no secret"
    assert secret not in read(here, PAGE)
    assert secret not in read(here, edit)
    renewed = here.post(f"{PAGE}secret/").content.decode()
    assert secret not in renewed
    assert "whsec_" in renewed


def test_the_page_shows_the_breach_the_rollback_and_who_was_told(watch: Watch) -> None:
    monitor = breached(watch, recipients=[watch.cast["owner"]], webhook_url="https://192.0.43.7/hook")
    MonitorAlert.objects.unscoped("test").filter(channel="webhook").update(status="failed", error="It answered 500.")
    page = read(client(watch, "scientist"), PAGE)
    run = MonitorCheck.objects.unscoped("test").exclude(evaluation=None).get(monitor=monitor, kind="check").evaluation
    assert run is not None
    for word in (
        "Out of limits",
        "Refusal of version 2 is at 33.3%",
        "The canary was rolled back.",
        "/prompts/claims/triage/releases/",
        "It answered 500.",
        "Send again",
        "Worst items",
        f"/evaluations/runs/{run.public_id}/?show=failing&amp;scorer=refusal",
        "1 of 1 points is outside, 1 of them for the worse",
        "I look after it",
        "To keep the evidence, pause it instead.",
    ):
        assert word in page, word
    listed = read(client(watch, "viewer"), LIST)
    assert "33.3%" in listed
    assert "New monitor" not in listed
    viewed = read(client(watch, "viewer"), PAGE)
    assert run.public_id not in viewed, "what requests said is for those who may read requests"
    assert "Check now" not in viewed
    assert 'href="/monitors/claims/refusals/#check-' in read(
        client(watch, "developer"), f"/evaluations/runs/{run.public_id}/"
    )
    told = read(client(watch, "viewer"), reverse("evaluation:prompt-monitors", args=["claims", "triage"]))
    assert ("Refusals" in told, "Out of limits" in told) == (True, True)

    act(client(watch, "scientist"), "acknowledge")
    acknowledged = read(client(watch, "viewer"), PAGE)
    assert "Acknowledged" in acknowledged
    retry = f"{PAGE}alerts/{MonitorAlert.objects.unscoped('test').get(channel='webhook').pk}/retry/"
    assert client(watch, "viewer").post(retry).status_code == 403
    assert client(watch, "scientist").post(retry).status_code == 302
    assert "Being delivered" in read(client(watch, "viewer"), PAGE)
    MonitorCheck.objects.create(monitor=monitor, since=timezone.now(), until=timezone.now(), verdict="in")
    assert "Ended" in read(client(watch, "viewer"), PAGE)


def test_the_list_is_filtered_by_state_and_by_words(watch: Watch) -> None:
    breached(watch)
    second = watch.monitor(name="Second one", webhook_url="https://192.0.43.7/hook")
    here = client(watch, "scientist")
    assert here.post(f"/monitors/claims/{second.slug}/act/", {"act": "pause"}).status_code == 302
    for query, found in (
        ("?state=out", "Refusals"),
        ("?state=paused", "Second one"),
        ("?q=second", "Second one"),
        ("?q=claims+triage&state=out&sort=-last", "Refusals"),
    ):
        page = read(here, LIST + query)
        other = "Second one" if found == "Refusals" else "/monitors/claims/refusals/"
        assert (found in page, other in page) == (True, False), query
    assert "No monitor matches" in read(here, f"{LIST}?state=failing")
    assert "/monitors/claims/second-one/" in read(here, f"{reverse('portal:search')}?q=second")


def test_acts_of_the_page(watch: Watch) -> None:
    monitor = watch.monitor()
    here = client(watch, "developer")
    act(here, "pause")
    assert "Resume" in read(here, PAGE)
    act(here, "resume")
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    act(here, "check")
    assert 'data-live="2000"' in read(here, PAGE)
    assert "HX-Refresh" not in here.get(f"{PAGE}progress/").headers
    refused = here.post(f"{PAGE}delete/", follow=True).content.decode()
    assert "being scored" in refused
    check(watch, monitor)
    assert here.get(f"{PAGE}progress/").headers["HX-Refresh"] == "true"
    act(client(watch, "viewer"), "pause", 403)
    act(client(watch, "outsider"), "pause", 404)


def test_what_failed_in_production_comes_to_the_inbox(watch: Watch) -> None:
    monitor = breached(watch)
    done = monitor.checks.filter(kind="check").latest("pk")
    assert done.evaluation is not None
    here, reviewer = client(watch, "scientist"), client(watch, "viewer")
    page = reverse("evaluation:run-detail", args=[done.evaluation.public_id])
    assert "Failing ones to the inbox" in read(here, page)
    assert reviewer.post(f"{page}offer/").status_code == 404  # who may not read requests sees no sample of them
    for _ in range(2):  # offered again they are the same ones
        assert here.post(f"{page}offer/").headers["Location"] == "/inbox/"
    failed = done.evaluation.items.filter(scores__value=1)
    items = list(InboxItem.objects.for_tenant(watch.cast.claims))
    assert {each.source_ref for each in items} == {each.revision.example.key for each in failed}
    assert 0 < len(items) <= 10
    for each in items:
        assert (each.source, each.output, each.reasons, each.prompt) == ("request", REFUSED, ["Refusal"], watch.prompt)
        assert list(each.input) == ["messages"]
    assert "failing requests came to the inbox" in read(here, "/inbox/")
    assert done.baseline is not None
    assert done.baseline.evaluation is not None
    calm = reverse("evaluation:run-detail", args=[done.baseline.evaluation.public_id])
    assert here.post(f"{calm}offer/").headers["Location"] == calm
    assert "None of this run" in read(here, calm)


def test_what_a_deleted_monitor_leaves(watch: Watch) -> None:
    breached(watch)
    here = client(watch, "scientist")
    kept = Release.objects.unscoped("test").count()
    assert here.post(f"{PAGE}delete/").headers["location"] == LIST
    for rows in (Monitor, MonitorCheck, MonitorAlert, Example, Dataset):
        assert not rows.objects.unscoped("test").exists(), rows
    assert not Evaluation.objects.unscoped("test").filter(trigger="monitor").exists()
    assert Release.objects.unscoped("test").count() == kept
    entry = AuditEntry.objects.for_tenant(watch.cast.claims).get(action="monitor.deleted")
    assert entry.data["out_of_control"] == 1


def test_the_api_retries_acknowledges_shows_a_secret_once_and_deletes(watch: Watch) -> None:
    monitor = breached(watch, webhook_url="https://192.0.43.7/hook")
    here = client(watch, "scientist")
    base = "/api/monitors/claims/refusals"
    [told] = here.get(f"{base}/checks?verdict=out").json()["results"]
    [alert] = told["alerts"]
    MonitorAlert.objects.unscoped("test").update(status="failed")
    assert here.post(f"{base}/alerts/{alert['id']}/retry").json()["status"] == "waiting"
    MonitorAlert.objects.unscoped("test").update(status="sent")
    assert here.post(f"{base}/alerts/{alert['id']}/retry").json()["code"] == "alert_delivered"
    assert here.post(f"{base}/acknowledge").status_code == 200
    assert here.get(f"{base}/checks").json()["results"][0]["acknowledged_by"] == "scientist@example.com"
    before = webhooks.secret_of(monitor)
    made = here.post(f"{base}/secret").json()["secret"]
    monitor.refresh_from_db()
    assert before != made == webhooks.secret_of(monitor)
    assert here.get(f"{base}/secret").status_code == 405
    assert client(watch, "viewer").delete(base).status_code == 403
    assert here.delete(base).status_code == 204
    assert here.get(base).status_code == 404
    assert not Monitor.objects.unscoped("test").exists()
