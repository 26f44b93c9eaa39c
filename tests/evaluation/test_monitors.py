"""Monitors: samples of what was answered are scored, compared with a baseline, told of, and a canary goes back."""

from __future__ import annotations

import base64
import contextlib
import hmac
import json
import socketserver
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

import pytest
from django.core import mail
from django.test import Client
from django.utils import timezone
from pytest_django import Settings

from apps.evaluation import sampling, webhooks
from apps.evaluation.models import Dataset, Evaluation, EvaluationItem, Monitor, MonitorAlert, MonitorCheck
from apps.evaluation.selectors.datasets import datasets_for
from apps.evaluation.selectors.monitors import episodes_of
from apps.evaluation.selectors.runs import get_run_for, search_runs
from apps.evaluation.services import alerts, checks, monitors
from apps.evaluation.types import Baseline, CheckKind, ControlChart
from apps.gateway.models import RequestContent
from apps.prompts import services as prompts
from apps.tenants.access import Actor
from apps.tenants.errors import Conflict, DomainError, Invalid, NotFound, PermissionDenied
from apps.tenants.models import AuditEntry, Membership
from apps.tenants.services import update_project
from tests.evaluation.gating import scorer
from tests.evaluation.watching import GOOD, REFUSED, Watch, check, work
from tests.fakes.smtp_sink import smtp_sink
from tests.fakes.webhook_receiver import webhook_receiver

pytestmark = pytest.mark.django_db


def at_minute(monkeypatch: pytest.MonkeyPatch, moment: datetime) -> None:
    monkeypatch.setattr(timezone, "now", lambda: moment)


def test_a_canary_that_refuses_goes_back_by_itself_with_the_evidence(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 20, *[REFUSED] * 10)
    monitor = watch.monitor()
    made = check(watch, monitor)
    assert made.verdict == "out", made.reasons
    [row] = made.statistics
    assert (row["version"], row["is_canary"], row["n"], row["mean"]) == (2, True, 30, pytest.approx(1 / 3))
    assert row["centre"] == 0 < row["high"] < row["mean"]
    assert made.arms == [{"version": 2, "percent": 10, "is_canary": True, "found": 30, "sampled": 30}]
    assert watch.weights == {1: 100}
    assert made.rollback is not None
    assert (made.rollback.decision, made.rollback.actor_label) == ("rollback", "monitor refusals")
    assert "Refusal of version 2 is at 33.3%, above its limit" in made.rollback.reason
    assert made.baseline is not None
    assert (made.baseline.verdict, made.baseline.reference, made.baseline.statistics[0]["n"]) == ("ready", "v1", 60)
    actions = set(AuditEntry.objects.for_tenant(watch.cast.claims).values_list("action", flat=True))
    assert {"monitor.created", "monitor.check_asked", "monitor.out_of_control", "prompt.rolled_back"} <= actions
    # The scores are a run's like any other, over answers as they were given: nothing is asked again, nothing is paid.
    run = made.evaluation
    assert run is not None
    assert (run.trigger, run.model, run.spent_picousd, run.items_total) == ("monitor", "recorded", 0, 30)
    items = EvaluationItem.objects.unscoped("test").filter(evaluation=run)
    assert {item.request_id for item in items} <= {f"{n:032x}" for n in range(61, 91)}
    # Decided once, whoever looks again.
    checks.decide_checks()
    assert watch.prompt.releases.count() == 3


def test_in_control_nothing_happens_and_the_baseline_is_not_scored_again(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 57, *[REFUSED] * 3)
    watch.answered(2, *[GOOD] * 28, *[REFUSED] * 2)
    monitor = watch.monitor(recipients=[watch.cast["owner"]])
    first = check(watch, monitor)
    assert (first.verdict, first.reasons, watch.weights) == ("in", [], {1: 90, 2: 10})
    MonitorCheck.objects.unscoped("test").filter(pk=first.pk).update(until=first.until - timedelta(minutes=1))
    second = check(watch, monitor)
    assert second.pk != first.pk
    assert second.baseline_id == first.baseline_id
    assert not MonitorAlert.objects.unscoped("test").exists()


def test_each_window_is_checked_once_whoever_looks(watch: Watch, monkeypatch: pytest.MonkeyPatch) -> None:
    now = timezone.now()
    end = checks.window_end(now, 60) + timedelta(hours=1)
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    monitor = watch.monitor()
    assert checks.open_due_checks() == 0, "its first window is open"
    at_minute(monkeypatch, end + timedelta(seconds=30))
    assert checks.open_due_checks() == 0, "its last answers may not be written yet"
    at_minute(monkeypatch, end + timedelta(seconds=61))
    assert [checks.open_due_checks(), checks.open_due_checks()] == [1, 0]
    # A worker that was killed in between is as if it had not begun: the row says what is due.
    Monitor.objects.unscoped("test").update(next_at=now)
    assert checks.open_due_checks() == 1
    rows = MonitorCheck.objects.unscoped("test").filter(monitor=monitor, kind=CheckKind.CHECK)
    assert [(row.since, row.until) for row in rows] == [(end - timedelta(hours=1), end)]
    at_minute(monkeypatch, end + timedelta(hours=5, seconds=90))  # what passed meanwhile is not made up for
    assert [checks.open_due_checks(), checks.open_due_checks(), rows.all().count()] == [1, 0, 2]
    monitors.pause_monitor(actor=watch.cast.actor("scientist"), monitor=monitor)
    at_minute(monkeypatch, end + timedelta(hours=9))
    assert checks.open_due_checks() == 0


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        ((60, 0), "No requests kept in the window; at least 20 are needed."),
        ((60, 19), "19 requests kept in the window; at least 20 are needed."),
        ((19, 30), "The baseline: 19 requests that version 1 answered were kept; at least 20 are needed."),
    ],
)
def test_too_little_tells_nothing_and_costs_nothing(watch: Watch, answers: tuple[int, int], told: str) -> None:
    watch.answered(1, *[GOOD] * answers[0])
    watch.answered(2, *[REFUSED] * answers[1])
    made = check(watch, watch.monitor())
    assert (made.verdict, made.reasons, made.evaluation) == ("insufficient", [told], None)
    assert watch.weights == {1: 90, 2: 10}


def test_a_baseline_that_was_scored_in_vain_is_not_scored_each_window(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    monitor = watch.monitor(scorers=[scorer(watch.cast, "cost")])  # nobody knows what these requests cost
    now = timezone.now()

    def runs_after(ago: int) -> int:
        """How many there are once the window that ended so many seconds ago was checked."""
        until = now - timedelta(seconds=ago)
        made = checks.open_check(checks.locked(monitor.pk), until - timedelta(hours=1), until)
        work()
        made.refresh_from_db()
        assert made.reasons == ["The baseline: Cost has 0 scores and 60 errors."]
        return Evaluation.objects.unscoped("test").count()

    assert [runs_after(ago) for ago in (200, 190, 180)] == [2, 2, 2]
    check(watch, monitor)  # somebody asks: with a fresh baseline
    assert [Evaluation.objects.unscoped("test").count(), runs_after(170)] == [4, 4]
    at_minute(monkeypatch, now + timedelta(hours=7))
    assert runs_after(160) == 6


def test_only_what_was_asked_by_the_label_of_a_project_that_agreed_is_sampled(watch: Watch) -> None:
    watch.answered(2, *[GOOD] * 30, label="")
    watch.answered(2, *[GOOD] * 30, ago=timedelta(hours=3))
    watch.answered(2, *[GOOD] * 25)
    monitor = watch.monitor()
    now = timezone.now()
    assert sampling.draw(monitor, now - timedelta(hours=1), now, 2, 100).found == 25
    update_project(actor=watch.cast.actor("owner"), project=watch.cast.triage, content_percent=0)
    assert sampling.draw(monitor, now - timedelta(hours=1), now, 2, 100).found == 0


def test_a_period_is_the_baseline_of_a_model_and_a_moving_average_sees_a_drift(watch: Watch) -> None:
    now = timezone.now()
    watch.answered(1, *([GOOD] * 9 + [REFUSED]) * 10, ago=timedelta(days=2))
    period = {"baseline_since": now - timedelta(days=3), "baseline_until": now - timedelta(days=1)}
    shared = {"prompt": None, "model": "acme", "baseline": Baseline.PERIOD, "rolls_back": False, **period}
    by_itself = watch.monitor(name="By itself", **shared)
    moving = watch.monitor(name="Moving", chart=ControlChart.EWMA, **shared)
    verdicts = []
    for back in range(8, 0, -1):  # a share of 25 % in place of 10 %, hour after hour
        until = now - timedelta(hours=2 * back)
        watch.answered(1, *([GOOD] * 3 + [REFUSED]) * 7, ago=timedelta(hours=2 * back, minutes=5))
        for monitor in (by_itself, moving):
            checks.open_check(checks.locked(monitor.pk), until - timedelta(hours=1), until)
        work()
        rows = MonitorCheck.objects.unscoped("test").filter(until=until).order_by("monitor__name")
        verdicts.append([row.verdict for row in rows])
    assert [each[0] for each in verdicts] == ["in"] * 8
    assert verdicts[0][1] == "in"
    assert verdicts[-1][1] == "out"


def test_checks_by_hand_do_not_count_the_same_answers_again_in_a_moving_average(watch: Watch) -> None:
    now = timezone.now()
    watch.answered(1, *([GOOD] * 9 + [REFUSED]) * 10, ago=timedelta(days=2))
    period = {"baseline_since": now - timedelta(days=3), "baseline_until": now - timedelta(days=1)}
    shared = {"prompt": None, "model": "acme", "baseline": Baseline.PERIOD, "rolls_back": False, **period}
    monitor = watch.monitor(chart=ControlChart.EWMA, **shared)
    for hours in (2, 0):  # after an hour in control, one that is a little worse and asked for again and again
        share = [GOOD] * (9 if hours else 3) + [REFUSED]
        watch.answered(1, *share * (2 if hours else 7), ago=timedelta(hours=hours, minutes=30))
        for minutes in range(12 if hours == 0 else 1, 0, -1):
            until = now - timedelta(hours=hours, minutes=minutes)
            checks.open_check(checks.locked(monitor.pk), until - timedelta(hours=1), until)
            work()
    rows = MonitorCheck.objects.unscoped("test").filter(monitor=monitor, kind=CheckKind.CHECK).order_by("until")
    assert [row.verdict for row in rows] == ["in"] * 13
    compared = {round(row.statistics[0]["compared"], 6) for row in rows[1:]}
    assert compared == {round(0.2 * 0.25 + 0.8 * 0.1, 6)}, "each goes over the hour before it alone"


def test_a_label_that_was_released_anew_is_left_alone(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    made = monitors.check_now(actor=watch.cast.actor("scientist"), monitor=watch.monitor())
    watch.release({1: 50, 2: 50})
    work()
    made.refresh_from_db()
    assert (made.verdict, made.rollback, watch.weights) == ("out", None, {1: 50, 2: 50})
    assert "released anew" in made.reasons[-1]


def test_a_whole_release_is_compared_with_the_one_before_and_not_rolled_back(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    watch.release({2: 100})
    made = check(watch, watch.monitor())
    assert (made.verdict, made.rollback, watch.weights) == ("out", None, {2: 100})
    assert made.reasons[-1] == "Nothing was rolled back: it is no canary that is out of control."


def test_what_was_taken_off_or_rolled_back_is_no_baseline(watch: Watch) -> None:
    watch.answered(1, *[REFUSED] * 30)
    watch.answered(2, *[REFUSED] * 60)
    monitor = watch.monitor()
    watch.release({1: 100})
    made = check(watch, monitor)
    assert (made.verdict, made.baseline) == ("insufficient", None), "the canary says nothing of what was good"
    content = {"messages": [{"role": "user", "content": "Sort as before."}], "model": "acme"}
    prompts.save_version(actor=watch.cast.actor("developer"), prompt=watch.prompt, content=content)
    watch.answered(3, *[REFUSED] * 30)
    watch.release({3: 100})
    good = watch.prompt.releases.first()
    assert good is not None
    watch.release({2: 100})
    prompts.roll_back(actor=watch.cast.actor("developer"), release=good)
    MonitorCheck.objects.unscoped("test").all().delete()
    made = check(watch, monitor)
    assert made.baseline is not None
    assert made.baseline.reference == "v1", "which was live before version 3, and not the bad version 2"


def test_a_run_that_cannot_go_on_is_told_and_ended(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    made = monitors.check_now(actor=watch.cast.actor("scientist"), monitor=watch.monitor())
    Evaluation.objects.unscoped("test").filter(monitor_check=made).update(
        status="paused", error="The budget of the project is used up."
    )
    work()
    made.refresh_from_db()
    assert made.verdict == "failed"
    assert "The budget of the project is used up." in made.reasons[0]
    assert made.evaluation is not None
    assert made.evaluation.status == "cancelled"


# Alerts.


def test_each_address_is_told_once_and_tried_until_it_is_delivered(
    watch: Watch, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    with smtp_sink() as sink, webhook_receiver() as receiver:
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", sink.port
        monitor = watch.monitor(recipients=[watch.cast["owner"]], webhook_url=receiver.url)
        made = check(watch, monitor)
        sink.refuses, receiver.statuses = True, [500]
        assert alerts.deliver_alerts() == 0
        assert alerts.deliver_alerts() == 0, "it waits before it tries again"
        assert delivery(made) == [
            ("mail", "waiting", 1, "The mail server: SMTPRecipientsRefused."),
            ("webhook", "waiting", 1, "It answered with the status 500."),
        ]
        sink.refuses = False
        later = timezone.now() + timedelta(minutes=1)
        at_minute(monkeypatch, later)
        assert alerts.deliver_alerts() == 2
        assert alerts.deliver_alerts() == 0
        assert [row[1:3] for row in delivery(made)] == [("sent", 2), ("sent", 2)]
        [mail] = sink.mails
        assert mail["To"] == "owner@example.com"
        assert mail["Subject"] == "Lobby: Refusals is out of control, and its canary was rolled back"
        line = f"/monitors/claims/refusals/#check-{made.pk}"
        assert line in mail.get_content()
        (first, _), (headers, body) = receiver.received
        assert first["webhook-id"] == headers["webhook-id"], "by which a receiver knows it again"
        secret = base64.b64decode(webhooks.secret_of(monitor).removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        mac = base64.b64encode(hmac.digest(secret, signed, "sha256")).decode()
        assert headers["webhook-signature"] == f"v1,{mac}"
        told = json.loads(body)["data"]
        assert (told["monitor"], told["rolled_back"], told["out_of_control"][0]["value"]) == ("refusals", True, 1.0)
        assert json.loads(body)["data"]["url"].endswith(line)
        assert "hail" not in body.decode()


def delivery(made: MonitorCheck) -> list[tuple[str, str, int, str]]:
    rows = MonitorAlert.objects.unscoped("test").filter(monitor_check=made).order_by("channel")
    return [(row.channel, row.status, row.tries, row.error) for row in rows]


def test_an_alert_is_given_up_after_days_shown_and_sent_again_on_demand(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    with webhook_receiver() as receiver:
        made = check(watch, watch.monitor(webhook_url=receiver.url))
        receiver.statuses = [500]
        at_minute(monkeypatch, timezone.now() + timedelta(days=4))
        alerts.deliver_alerts()
        assert [row[1] for row in delivery(made)] == ["failed"]
        assert alerts.deliver_alerts() == 0
        [row] = MonitorAlert.objects.unscoped("test").select_related("monitor_check__monitor__tenant")
        with pytest.raises(PermissionDenied):
            alerts.retry_alert(actor=watch.cast.actor("viewer"), alert=row)
        alerts.retry_alert(actor=watch.cast.actor("scientist"), alert=row)
        assert alerts.deliver_alerts() == 1


def test_who_has_left_while_their_mail_waited_is_not_told(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    viewer = watch.cast["viewer"]
    made = check(watch, watch.monitor(recipients=[viewer, watch.cast["owner"]]))
    Membership.objects.unscoped("test").filter(user=viewer).delete()
    assert alerts.deliver_alerts() == 1
    rows = MonitorAlert.objects.unscoped("test").filter(monitor_check=made).order_by("address")
    assert [(row.address, row.status) for row in rows] == [
        ("owner@example.com", "sent"),
        ("viewer@example.com", "failed"),
    ]
    assert [sent.to for sent in mail.outbox] == [["owner@example.com"]]


def test_nobody_is_told_again_of_what_somebody_looks_after_until_it_is_another_thing(watch: Watch) -> None:
    owner, words, brief = watch.cast["owner"], scorer(watch.cast, "length"), "I'm sorry, I can't help you."
    watch.answered(1, *[GOOD] * 60, ago=timedelta(days=1))
    monitor = watch.monitor(recipients=[owner], rolls_back=False, scorers=[watch.scorer, words])
    now = timezone.now().replace(second=0, microsecond=0)

    def checked(hour: int, answer: str) -> tuple[str, int]:
        """The alert's state, and how many mails there are, once the hour's answers were checked."""
        until = now - timedelta(hours=10 - hour)
        watch.answered(2, *[answer] * 30, ago=timezone.now() - until + timedelta(minutes=1))
        checks.open_check(checks.locked(monitor.pk), until - timedelta(hours=1), until)
        work()
        return episodes_of(monitor)[0].state, MonitorAlert.objects.unscoped("test").count()

    assert checked(1, brief) == ("open", 1)
    assert checked(2, brief) == ("open", 2)
    monitors.acknowledge(actor=watch.cast.actor("scientist"), monitor=monitor)
    assert checked(3, brief) == ("acknowledged", 2)
    assert checked(4, brief) == ("acknowledged", 2)
    assert checked(5, REFUSED) == ("open", 3), "answers are longer, too"
    monitors.acknowledge(actor=watch.cast.actor("scientist"), monitor=monitor)
    assert checked(6, GOOD) == ("ended", 3)
    assert checked(7, brief) == ("open", 4), "it begins anew"


def test_a_worker_that_holds_an_alert_keeps_others_from_it_until_its_lease_ends(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    with webhook_receiver() as receiver:
        check(watch, watch.monitor(webhook_url=receiver.url))
        rows = MonitorAlert.objects.unscoped("test")
        rows.update(leased_until=timezone.now() + timedelta(seconds=30))
        assert alerts.deliver_alerts() == 0
        rows.update(leased_until=timezone.now() - timedelta(seconds=1))  # it was killed
        assert alerts.deliver_alerts() == 1


def test_a_receiver_that_answers_byte_by_byte_holds_a_worker_no_longer_than_another(
    watch: Watch, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhooks, "TIMEOUT_SECONDS", 0.3)
    ended = threading.Event()

    class Dripping(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            self.request.recv(65_536)
            with contextlib.suppress(OSError):
                for each in b"HTTP/1.1 204 No Content\r\nx: " + b"a" * 200:
                    self.request.sendall(bytes([each]))
                    if ended.wait(0.1):
                        return

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Dripping) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            monitor = watch.monitor(webhook_url=f"http://127.0.0.1:{server.server_address[1]}")
            with pytest.raises(webhooks.NotDelivered, match=r"did not answer within 0\.3 seconds"):
                webhooks.post(monitor, monitor.webhook_url, "msg_1", {})
        finally:
            ended.set()
            server.shutdown()
            thread.join()


# What it may be, and who may see it.


def _foreign(watch: Watch) -> dict[str, Any]:
    return {"recipients": [watch.cast["outsider"]]}


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("scorers", lambda watch: {"scorers": [scorer(watch.cast, "exact-match")]}),
        ("scorers", lambda watch: {"scorers": []}),
        ("recipients", _foreign),
        ("project", lambda watch: {"project": watch.cast.loans}),
        ("minimum_sample", lambda watch: {"minimum_sample": 31}),
        ("sigmas", lambda watch: {"sigmas": float("nan")}),
        ("window_minutes", lambda watch: {"window_minutes": 7}),
        ("baseline_since", lambda watch: {"baseline": Baseline.PERIOD}),
        ("rolls_back", lambda watch: {"prompt": None, "model": "acme", "baseline": Baseline.PERIOD}),
        ("model", lambda watch: {"model": "acme"}),
    ],
)
def test_what_does_not_fit_is_refused_by_its_field(
    watch: Watch, field: str, given: Callable[[Watch], dict[str, Any]]
) -> None:
    with pytest.raises(Invalid) as refused:
        watch.monitor(**given(watch))
    assert refused.value.field == field


def test_any_name_makes_an_address_of_its_own(watch: Watch) -> None:
    long = "The refusals, length and tone of claims in production"  # cut in the middle of a word, or before one
    names = [long, f"x{long}", f"xx{long}", "拒绝", "长度", "Refusals", "Refusals!"]
    made = [watch.monitor(name=name).slug for name in names]
    assert made[3:] == ["monitor", "monitor-2", "refusals", "refusals-2"]
    with pytest.raises(Conflict):
        watch.monitor(name="Refusals!")  # as where a form is sent twice


def test_webhooks_go_nowhere_that_the_guard_forbids(watch: Watch, settings: Settings) -> None:
    settings.LOBBY_ALLOWED_PRIVATE_HOSTS = []
    for url in (
        "http://127.0.0.1/x",
        "https://169.254.169.254/latest",
        "https://user@example.org/",
        "ftp://x.example/",
    ):
        with pytest.raises(DomainError):
            watch.monitor(webhook_url=url)


def test_what_requests_said_is_for_those_who_may_read_requests(watch: Watch) -> None:
    cast = watch.cast
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    made = check(watch, watch.monitor())
    assert made.evaluation is not None
    public_id = made.evaluation.public_id
    assert get_run_for(cast.actor("developer"), public_id).trigger == "monitor"
    for part in ("viewer", "reviewer", "outsider"):
        with pytest.raises(NotFound):
            get_run_for(cast.actor(part), public_id)
    cast.key("management", "management:read")
    with pytest.raises(NotFound):
        get_run_for(Actor.of_api_key(cast.key_rows["management"]), public_id)
    assert not search_runs(cast.actor("developer"), cast.claims).exists()
    assert Dataset.objects.unscoped("test").filter(monitor__isnull=False).exists()
    assert not datasets_for(cast.actor("owner"), cast.claims).exists()
    for act in (
        lambda actor: monitors.create_monitor(actor=actor, tenant=cast.claims, facts=watch.facts(name="Another")),
        lambda actor: monitors.check_now(actor=actor, monitor=made.monitor),
        lambda actor: monitors.pause_monitor(actor=actor, monitor=made.monitor),
    ):
        with pytest.raises(PermissionDenied):
            act(cast.actor("viewer"))
        with pytest.raises(NotFound):
            act(cast.actor("outsider"))


def test_the_api_sets_a_monitor_up_has_it_check_and_tells_what_it_found(watch: Watch, client: Client) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[REFUSED] * 30)
    client.force_login(watch.cast["scientist"], backend="django.contrib.auth.backends.ModelBackend")

    def call(method: str, path: str = "", body: dict[str, Any] | None = None) -> Any:
        sent = {} if body is None else {"data": json.dumps(body), "content_type": "application/json"}
        answer = getattr(client, method)(f"/api/monitors{path}", **sent)
        assert answer.status_code < 300, answer.content
        return answer.json()

    body = {
        "name": "Refusals",
        "project": "triage",
        "prompt": "triage",
        "scorers": ["refusal"],
        "baseline": "release",
        "window_minutes": 15,
        "sample_size": 30,
        "recipients": ["owner@example.com"],
        "rolls_back": True,
    }
    made = call("post", body=body | {"tenant": "claims"})
    assert {name: made[name] for name in body} == body
    assert (made["label"], made["environment"], made["is_paused"]) == ("live", "prod", False)
    assert call("put", "/claims/refusals", body | {"sigmas": 2.5})["sigmas"] == 2.5
    assert call("post", "/claims/refusals/pause")["is_paused"] is True
    assert call("post", "/claims/refusals/resume")["is_paused"] is False
    assert client.post("/api/monitors/claims/refusals/secret").status_code == 409, "it has no webhook"
    assert call("post", "/claims/refusals/checks")["verdict"] == ""
    work()
    [told] = call("get", "/claims/refusals/checks?verdict=out")["results"]
    assert (told["rolled_back"], told["statistics"][0]["mean"], told["alerts"][0]["status"]) == (True, 1.0, "waiting")
    assert [each["slug"] for each in call("get", "?tenant=claims")["results"]] == ["refusals"]


def test_a_sample_lives_as_long_as_what_it_was_taken_from(watch: Watch) -> None:
    watch.answered(1, *[GOOD] * 60)
    watch.answered(2, *[GOOD] * 30)
    made = check(watch, watch.monitor())
    assert made.evaluation is not None
    items = EvaluationItem.objects.unscoped("test").filter(evaluation=made.evaluation)
    assert sampling.forget_expired() == 0
    RequestContent.objects.unscoped("test").filter(request_id=items[0].request_id).delete()
    assert sampling.forget_expired() == 1
    assert items.count() == 29
    RequestContent.objects.unscoped("test").all().delete()
    assert sampling.forget_expired() == 89
    made.refresh_from_db()
    assert (items.count(), made.verdict, made.statistics[0]["n"]) == (0, "in", 30)
