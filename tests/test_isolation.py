"""Tenant isolation: every route x role x {own, foreign, missing}, against the table in ``tests/isolation_table.py``."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlencode

import httpx
import pytest
from django.core.cache import cache
from django.core.files.base import File
from django.db import transaction
from django.test import Client
from django.test.client import BOUNDARY, MULTIPART_CONTENT, encode_multipart
from django.urls import URLPattern, URLResolver, get_resolver, reverse
from django.utils import timezone
from pytest_django import DjangoDbBlocker, Settings

from apps.evaluation import services as evaluation
from apps.evaluation.content import clean_content
from apps.evaluation.models import (
    Comparison,
    Dataset,
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    Example,
    ExampleRevision,
    GateDecision,
    MonitorAlert,
    MonitorCheck,
    Score,
    VersionExample,
)
from apps.evaluation.services.examples import Incoming, Provenance, store
from apps.evaluation.services.monitors import MonitorFacts, check_now, create_monitor
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
from apps.evaluation.services.redteam import ensure_attack_scorer
from apps.evaluation.services.scorers import create_scorer
from apps.evaluation.types import Source
from apps.gateway import services as gateway
from apps.gateway.models import RequestLog, UsageRecord, UsageRollup
from apps.models import services as registry
from apps.models.models import Model, Provider
from apps.playground import services as playground
from apps.playground.models import Attachment
from apps.playground.types import Attached, Column
from apps.prompts import services as prompts
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants import services
from apps.tenants.access import Actor
from apps.tenants.models import AuditEntry, Project, Tenant, User
from tests.cast import Cast, assemble
from tests.fakes.process import FakeOpenAI
from tests.isolation_table import (
    ANONYMOUS,
    CANARY,
    KEYS,
    LIVE,
    PLAN_DATASET,
    PLATFORM,
    PROMPT_SLUGS,
    PUBLIC,
    ROLES,
    ROWS,
    V1,
    Act,
    Row,
    Which,
)
from tests.live import LiveLobby, LobbyFactory

pytestmark = pytest.mark.django_db  # makes the run prepare a database; the world outlives the single test

OPERATOR = Actor.system("test")
BACKEND = "django.contrib.auth.backends.ModelBackend"
LET_IN = range(200, 400)
# Routes of Django's and allauth's own that share one rule each: see the tests below.
ENTRANCE = re.compile(r"^accounts/")
ADMIN = re.compile(r"^admin/")


@dataclass
class World:
    """The cast with one of everything in each tenant, by kind."""

    cast: Cast
    own: dict[str, Any] = field(default_factory=dict)
    foreign: dict[str, Any] = field(default_factory=dict)
    clients: dict[str, Client] = field(default_factory=dict)
    upstream: str = ""

    def client(self, role: str) -> Client:
        if role not in self.clients:
            client = Client()
            if role.startswith("key:"):
                client = Client(headers={"Authorization": f"Bearer {self.cast.keys[role[4:]]}"})
            elif role != ANONYMOUS:
                client.force_login(self.cast[role], backend=BACKEND)
                if role in PLATFORM:
                    client.post("/workspace/", {"tenant": "claims"})
            self.clients[role] = client
        return self.clients[role]


@pytest.fixture(scope="module")
def world(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[World]:
    """One world for all: every call's effects are undone, and the world itself at the end."""
    with django_db_blocker.unblock(), transaction.atomic(), _upstream() as base_url:
        cache.clear()
        world = _furnished(base_url)
        for role in ROLES:
            world.client(role)  # signed in here: what a test does is undone when it ends
        yield world
        transaction.set_rollback(True)


@pytest.fixture(autouse=True)
def patience(settings: Settings, world: World) -> None:
    settings.API_REQUESTS_PER_MINUTE = settings.API_FAILED_KEYS_PER_MINUTE = 10**9
    settings.MLFLOW_TRACKING_URI = world.upstream  # any server: who may ask it is the question


class _Lister(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        body = b'{"data": [{"id": "writer-9b"}]}'
        self.send_response(404 if "nowhere" in self.path else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nobody reads it."""


@contextmanager
def _upstream() -> Iterator[str]:
    """A server that lists one model."""
    with ThreadingHTTPServer(("127.0.0.1", 0), _Lister) as httpd:
        thread = threading.Thread(target=httpd.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"http://127.0.0.1:{httpd.server_address[1]}/v1"
        httpd.shutdown()
        thread.join()


def _furnished(base_url: str) -> World:
    cast = assemble()
    Tenant.objects.for_tenant(cast.lending).update(name=f"Lending {CANARY}", cost_center=CANARY)
    Project.objects.for_tenant(cast.lending).update(name=f"Loans {CANARY}", description=CANARY)
    User.objects.filter(pk=cast["outsider"].pk).update(name=f"Outsider {CANARY}", email=f"outsider@{CANARY}.example")
    for row in (cast.lending, cast.loans, cast["outsider"]):
        row.refresh_from_db()
    provider = registry.create_provider(
        actor=OPERATOR, slug="upstream", name="Upstream", base_url=base_url, credential_source="none"
    )
    writer = registry.create_model(
        actor=OPERATOR,
        slug="acme/writer:8b",
        name="Acme Writer",
        lifecycle="approved",
        licence_needs_acceptance=True,
    )
    secret = registry.create_model(
        actor=OPERATOR,
        slug="acme/next:1b",
        name=f"Next {CANARY}",
        lifecycle="proposed",
        licence_needs_acceptance=True,
        is_open=True,
    )
    endpoint = registry.create_endpoint(actor=OPERATOR, model=writer, provider=provider, upstream_model="writer-8b")
    world = World(cast, upstream=base_url.removesuffix("/v1"))
    free = registry.create_model(
        actor=OPERATOR, slug="acme/open:1b", name="Acme Open", lifecycle="approved", is_open=True
    )
    registry.create_endpoint(actor=OPERATOR, model=free, provider=provider, upstream_model="open-1b")
    world.own |= {"member": cast["viewer"].pk, "model": writer.slug, "endpoint": endpoint.pk}
    world.foreign |= {"member": cast["outsider"].pk, "model": secret.slug}
    _furnish(world.own, cast.claims, cast.triage, cast["owner"], writer, provider, "own")
    _furnish(world.foreign, cast.lending, cast.loans, cast["outsider"], writer, provider, CANARY)
    return world


def _furnish(
    kinds: dict[str, Any], tenant: Tenant, project: Project, admin: User, model: Model, provider: Provider, word: str
) -> None:
    actor = Actor.of_user(admin)
    key = services.create_api_key(actor=actor, project=project, name=f"Key {word}", scopes=["inference"]).api_key
    kinds["key"] = key.prefix
    limit = services.set_rate_limit(
        actor=actor, tenant=tenant, project=project, metric="requests", limit=100, model=f"m-{word}"
    )
    kinds["limit"] = limit.pk
    kinds["budget"] = services.set_budget(
        actor=actor, tenant=tenant, project=project, amount_picousd=10**12, thresholds=[50]
    ).pk
    kinds["grant"] = registry.grant_access(actor=OPERATOR, tenant=tenant, project=project, model=model).pk
    route = gateway.create_route(
        actor=OPERATOR, tenant=tenant, slug=f"route-{word}", name=f"Route {word}", description=word
    )
    gateway.update_route(actor=OPERATOR, route=route, strategy="weighted", message=f"Said {word}")
    kinds["route"] = route.pk
    kinds["audit"] = AuditEntry.objects.for_tenant(tenant).order_by("-sequence")[0].sequence
    kinds["request"] = ("a" if word == "own" else "b") * 32
    now = timezone.now() - timedelta(hours=1)
    log = RequestLog(
        request_id=kinds["request"],
        at=now,
        tenant=tenant,
        project=project,
        api_key=key,
        user=admin,
        model_slug=f"model-{word}",
        operation="chat.completions",
        outcome="ok",
        http_status=200,
        why={"route": word},
    )
    log.save()
    record = UsageRecord(
        attempt_id=kinds["request"],
        request_id=kinds["request"],
        at=now,
        tenant=tenant,
        project=project,
        api_key=key,
        user=admin,
        model=model,
        status="measured",
        outcome="ok",
        http_status=200,
        streamed=False,
        upstream_request_id=word,
    )
    record.save()
    bucket = now.replace(minute=0, second=0, microsecond=0)
    for granularity in ("hour", "day"):
        UsageRollup.objects.create(
            granularity=granularity,
            bucket=bucket,
            tenant_id=tenant.pk,
            project_id=project.pk,
            api_key_id=key.pk,
            user_id=admin.pk,
            model_id=model.pk,
            status="measured",
            requests=1,
        )
    _furnish_playground(kinds, project, admin, model, word)
    _furnish_prompts(kinds, tenant, admin, word)
    _furnish_gates(kinds, project, admin, word)
    _furnish_datasets(kinds, tenant, admin, word)
    _furnish_runs(kinds, project, admin, word)


def _furnish_datasets(kinds: dict[str, Any], tenant: Tenant, admin: User, word: str) -> None:
    """A dataset of two examples, of which a version holds the first; an upload that waits; an item of the inbox."""
    actor = Actor.of_user(admin)
    slug = "golden" if tenant.slug == "claims" else "silver"
    dataset = evaluation.create_dataset(actor=actor, tenant=tenant, slug=slug, name=f"Set {word}", tags=[word])
    claim = {"claim": f"Hail {word}"}
    stored = evaluation.add_example(actor=actor, dataset=dataset, input=claim, expected=word, slice=word)
    frozen = evaluation.freeze_version(actor=actor, dataset=dataset, message=f"First {word}")
    evaluation.sign_off(actor=actor, version=frozen.version, is_approval=True, note=word)
    evaluation.add_example(actor=actor, dataset=dataset, input={"claim": f"Car {word}"})
    receiving = evaluation.begin_upload(actor=actor, dataset=dataset, file_name=f"{word}.csv")
    receiving.write(f"claim,expected\nStorm {word},home\n".encode())
    item = evaluation.offer_to_inbox(
        actor=actor, tenant=tenant, source="feedback", input={"claim": word}, output=word, note=word
    )
    kinds |= {"golden_example": stored.example.pk, "upload": receiving.finish().pk, "inbox_item": item.pk}


def _furnish_runs(kinds: dict[str, Any], project: Project, admin: User, word: str) -> None:
    """A dataset of one example with two scorers, one of them a judge; and a run in each state that can be acted on."""
    actor, tenant = Actor.of_user(admin), project.tenant
    dataset = Dataset.objects.create(tenant=tenant, slug=f"golden-{word}", name=f"Golden {word}")
    example = Example.objects.create(dataset=dataset, key=f"first-{word}")
    revision = ExampleRevision.objects.create(
        example=example, number=1, input={"q": f"What of {word}?"}, expected=word, content_hash=word, source="upload"
    )
    version = DatasetVersion.objects.create(dataset=dataset, number=1, manifest_hash=word, size=1)
    VersionExample.objects.create(version=version, revision=revision, position=0)
    exact = create_scorer(actor=actor, tenant=tenant, kind="exact-match", slug="exact", name=f"Exact {word}")
    create_scorer(
        actor=actor,
        tenant=tenant,
        kind="judge-reference",
        slug="judge" if word == "own" else "other",
        name=f"Judge {word}",
        parameters={"model": f"m-{word}"},
    )
    watching = create_scorer(actor=actor, tenant=tenant, kind="refusal", slug="watching", name=f"Watching {word}")
    now = timezone.now()
    facts = MonitorFacts(
        name=f"Quality {word}",
        project=project,
        scorers=[watching],
        model="acme/open:1b",
        baseline_since=now - timedelta(days=2),
        baseline_until=now - timedelta(days=1),
        recipients=[admin],
    )
    monitor = create_monitor(actor=actor, tenant=tenant, facts=facts, slug="quality")
    monitor.webhook_url = f"https://{word}.example.com/hook"
    monitor.save(update_fields=["webhook_url"])
    check = check_now(actor=actor, monitor=monitor)
    alert = MonitorAlert.objects.create(monitor_check=check, channel="mail", address=f"{word}@example.com")
    MonitorCheck.objects.unscoped("test").filter(pk=check.pk).update(verdict="out", reasons=[f"Worse {word}"])
    kinds["monitor_alert"] = alert.pk
    scorer_version = exact.versions.get()
    kinds["scorer_version"] = scorer_version.pk
    for kind, status in (("run", "queued"), ("paused", "paused"), ("ended", "done")):
        run = Evaluation.objects.create(
            tenant=tenant,
            project=project,
            name=f"Run {word}",
            model=f"m-{word}",
            dataset_version=version,
            status=status,
            items_total=1,
            created_by=admin,
            sweep=f"sweep{tenant.pk}",
        )
        kinds["sweep"] = run.sweep
        EvaluationMetric.objects.create(evaluation=run, scorer_version=scorer_version)
        item = EvaluationItem.objects.create(
            evaluation=run, revision=revision, position=0, status="error", error=f"Lost {word}", output=word
        )
        kinds[kind] = run.public_id
        kinds.setdefault("item", item.pk)
    kinds["attacked"] = _attacked(actor, project, version, word)


def _attacked(actor: Actor, project: Project, version: DatasetVersion, word: str) -> str:
    """A red-team run with an attack that got through; its id."""
    content = clean_content(
        input={"messages": [{"role": "user", "content": f"Ignore {word}"}]},
        expected={"attack": {"by": "refusal"}, "behaviour": f"Refuses {word}"},
        tags=["high", "direct"],
        slice="jailbreak",
    )
    incoming = Incoming(f"attack-{word}", content)
    [stored] = store(version.dataset, [incoming], Provenance(Source.TEMPLATE, actor.user))
    scorer = ensure_attack_scorer(actor=actor, tenant=project.tenant)
    run = Evaluation.objects.create(
        tenant=project.tenant,
        project=project,
        name=f"Red team {word}",
        model=f"m-{word}",
        dataset_version=version,
        status="done",
        items_total=1,
        created_by=actor.user,
    )
    EvaluationMetric.objects.create(evaluation=run, scorer_version=scorer)
    item = EvaluationItem.objects.create(
        evaluation=run, revision=stored.revision, position=0, status="done", output=f"Gladly {word}"
    )
    Score.objects.create(item=item, scorer_version=scorer, value=1, reason=f"It answered {word}")
    return run.public_id


def _furnish_prompts(kinds: dict[str, Any], tenant: Tenant, admin: User, word: str) -> None:
    """A prompt of two versions, released; only the own tenant's first version is published to all."""
    actor = Actor.of_user(admin)
    prompt = prompts.create_prompt(
        actor=actor, tenant=tenant, slug=PROMPT_SLUGS[tenant.slug], name=f"Sort {word}", description=word, tags=[word]
    )
    versions = []
    for text in ("Sort {{x}}", "Sort {{x}} well"):
        content = {"messages": [{"role": "user", "content": f"{text}, {word}."}], "model": f"m-{word}"}
        saved = prompts.save_version(actor=actor, prompt=prompt, content=content, message=f"Said {word}")
        versions.append(saved.version)
    weights = ({1: 100}, {2: 100})
    releases = [
        prompts.release_versions(
            actor=actor, prompt=prompt, environment="dev", label="live", weights=each, reason=f"Because {word}"
        )
        for each in weights
    ]
    kinds |= {"prompt": prompt.slug, "release": releases[0].pk}
    if word == "own":
        kinds["publication"] = prompts.publish_version(actor=actor, version=versions[0], note="For all").pk


def _furnish_gates(kinds: dict[str, Any], project: Project, admin: User, word: str) -> None:
    """A plan, two evaluations that are compared, and a decision about version 2 that waits for approval."""
    actor, tenant = Actor.of_user(admin), project.tenant
    prompt = Prompt.objects.for_tenant(tenant).get(slug=PROMPT_SLUGS[tenant.slug])
    PromptVersion.objects.unscoped("test").filter(prompt=prompt).update(author=None)  # nobody here is the author
    data = Dataset.objects.create(tenant=tenant, slug=PLAN_DATASET, name=f"Set {word}")
    frozen = DatasetVersion.objects.create(dataset=data, number=1, manifest_hash=word, size=1)
    scorer = create_scorer(actor=actor, tenant=tenant, kind="exact-match", name=f"Exact {word}")
    example = Example.objects.create(dataset=data, key=word)
    revision = ExampleRevision.objects.create(
        example=example, number=1, input={"x": word}, content_hash=word, source="upload"
    )
    VersionExample.objects.create(version=frozen, revision=revision, position=0)
    metrics = [PlannedMetric(scorer)]
    facts = PlanFacts(dataset=data, project=project, metrics=metrics, label="gated", model=f"route-{word}")
    set_plan(actor=actor, owner=prompt, facts=facts)
    guarded = gateway.create_route(actor=OPERATOR, tenant=tenant, slug=f"guarded-{word}", name=f"Guarded {word}")
    set_plan(actor=actor, owner=guarded, facts=facts)
    kinds["guarded"] = guarded.pk
    before, after = [
        Evaluation.objects.create(
            tenant=tenant, project=project, name=f"Run {word}", model=f"m-{word}", dataset_version=frozen, status="done"
        )
        for _ in range(2)
    ]
    comparison = Comparison.objects.create(tenant=tenant, baseline=before, candidate=after, status="failed", error=word)
    policy: dict[str, Any] = {
        "policy": "approval", "environment": "prod", "label": "gated", "baseline_version": None,
        "approvals_needed": 1, "canary_percent": 100, "opened_by": word, "metrics": [],
    }  # fmt: skip
    version = prompt.versions.get(number=2)
    canary, waiting = [
        GateDecision.objects.create(
            tenant=tenant, prompt=prompt, version=version, status=status, policy=each, verdict="better", reasons=[word]
        )
        for status, each in (("released", policy | {"environment": "dev", "label": "shared"}), ("waiting", policy))
    ]
    GateDecision.objects.create(
        tenant=tenant, route=guarded, revision=guarded.revision, status="waiting", policy=policy, verdict="better",
        reasons=[word],
    )  # fmt: skip
    prompts.release_versions(
        actor=actor, prompt=prompt, environment="dev", label="shared", weights={1: 50, 2: 50}, reason=word
    )
    kinds |= {
        "gate": waiting.pk,
        "canary": canary.pk,
        "comparison": comparison.pk,
        "run": before.public_id,
        "candidate": after.public_id,
    }


def _furnish_playground(kinds: dict[str, Any], project: Project, admin: User, model: Model, word: str) -> None:
    """The admin's shared conversation, with feedback and an example made of it; a blind one that waits for a vote."""
    actor = Actor.of_user(admin)
    for blind in (False, True):
        columns = [Column(model=model.slug), Column(model=model.slug, system=f"Be {word}.")]
        begun = playground.begin_turn(
            actor=actor,
            project=project,
            columns=columns,
            message=f"Say {word}",
            attachments=[Attached("pixel.png", "image/png", "iVBORw0KGgo=")],
            blind=blind,
            use_case="draft",
        )
        for answer in begun.answers:
            playground.finish_answer(
                answer.pk, status="done", text=f"Here is {word}", reasoning="", tool_calls=[], error={},
                request_id=kinds["request"], input_tokens=1, output_tokens=2, first_token_ms=3, duration_ms=4,
            )  # fmt: skip
        kinds["blind_turn" if blind else "turn"] = begun.turn.pk
        if not blind:
            answer = begun.answers[0]
            answer.refresh_from_db()
            shared = playground.share_conversation(actor=actor, conversation=begun.conversation)
            kinds["file"] = Attachment.objects.unscoped("test").get(turn=begun.turn).pk
            kinds |= {"conversation": shared.public_id, "share_token": shared.share_token, "answer": answer.pk}
            row = playground.give_feedback(actor=actor, answer=answer, verdict="down", note=f"Not {word}")
            kinds["feedback"] = row.pk
            example = playground.share_example(actor=actor, answer=answer, title=f"Good {word}", use_case="draft")
            kinds["example"] = example.public_id
    _rate_a_text(project, actor, model, word)


def _rate_a_text(project: Project, actor: Actor, model: Model, word: str) -> None:
    """What a rating set is made of, in a tenant that allows it."""
    begun = playground.begin_turn(
        actor=actor, project=project, columns=[Column(model=model.slug)], message=f"Spell {word}"
    )
    playground.finish_answer(
        begun.answers[0].pk, status="done", text=f"It is {word}", reasoning="", tool_calls=[], error={},
        request_id="", input_tokens=1, output_tokens=2, first_token_ms=3, duration_ms=4,
    )  # fmt: skip
    begun.answers[0].refresh_from_db()
    playground.give_feedback(actor=actor, answer=begun.answers[0], verdict="up")
    playground.allow_rating_sets(actor=actor, tenant=project.tenant, is_allowed=True)


def routes() -> Iterator[tuple[str, str]]:
    """(path, name) of every route that Django resolves."""

    def walk(resolver: URLResolver, path: str, spaces: str) -> Iterator[tuple[str, str]]:
        for each in resolver.url_patterns:
            below = path + str(each.pattern)
            if isinstance(each, URLPattern):
                yield below, f"{spaces}{each.name}"
            else:
                yield from walk(each, below, spaces + (f"{each.namespace}:" if each.namespace else ""))

    yield from walk(get_resolver(), "", "")


def test_every_route_has_a_row_and_every_row_a_route() -> None:
    ours = {name: path for path, name in routes() if not ENTRANCE.match(path) and not ADMIN.match(path)}
    without = {name: path for name, path in ours.items() if name not in {*ROWS, *PUBLIC, *LIVE}}
    assert not without, f"Give these routes a row in tests/isolation_table.py: {without}"
    assert not {*ROWS, *PUBLIC, *LIVE} - set(ours), "These rows have no route any more."


def test_every_method_of_the_api_has_an_expectation() -> None:
    for path, name in routes():
        if name not in ROWS or not ROWS[name].is_api:
            continue
        view = next(each for each in _patterns() if each[0] == name)[1]
        methods = {each.upper() for each in ("get", "post", "put", "patch", "delete") if hasattr(view, each)}
        assert methods == set(ROWS[name].acts), f"{name} ({path})"


def _patterns() -> Iterator[tuple[str, Any]]:
    def walk(resolver: URLResolver, spaces: str) -> Iterator[tuple[str, Any]]:
        for each in resolver.url_patterns:
            if isinstance(each, URLPattern):
                yield f"{spaces}{each.name}", getattr(each.callback, "view_class", each.callback)
            else:
                yield from walk(each, spaces + (f"{each.namespace}:" if each.namespace else ""))

    yield from walk(get_resolver(), "")


@dataclass
class Answer:
    status: int
    text: str
    location: str
    acted: bool  # the audit trail has grown

    @property
    def is_login(self) -> bool:
        return self.status == 302 and "/accounts/login/" in self.location


def _send(world: World, row: Row, name: str, method: str, act: Act, role: str, which: Which) -> Answer:
    """One call, all of whose effects are undone."""
    path = reverse(name, kwargs=row.target.arguments(world, which) if row.target else {})
    body = act.body(world, which) if act.body else {}
    client = world.client(role)
    trail = AuditEntry.objects.unscoped("test")
    before = trail.count()
    with transaction.atomic():
        if method == "GET":
            response = client.get(path)
        elif any(isinstance(value, File) for value in body.values()):
            response = client.generic(method, path, encode_multipart(BOUNDARY, body), content_type=MULTIPART_CONTENT)
        elif row.is_api:
            response = client.generic(method, path, json.dumps(body), content_type="application/json")
        else:
            kind = "application/x-www-form-urlencoded"
            response = client.generic(method, path, urlencode(body), content_type=kind)
        acted = trail.count() > before
        transaction.set_rollback(True)
    location = response.headers.get("Location", "")
    return Answer(response.status_code, response.getvalue().decode(errors="replace"), location, acted)


def _looks(answer: Answer, world: World, row: Row, act: Act, which: Which) -> tuple[int, str]:
    """Status and words, without what the caller itself had asked for and what changes from call to call."""
    text = answer.text if row.is_api else re.sub(r"<[^>]*>|\s+", " ", answer.text)
    text += f" -> {unquote(answer.location)}"
    given = list((row.target.arguments(world, which) if row.target else {}).values())
    given += list((act.body(world, which) if act.body else {}).values())
    for value in sorted((part for each in given for part in str(each).split("/")), key=len, reverse=True):
        text = re.sub(rf"(?<!\w){re.escape(value)}(?!\w)", "…", text) if value else text
    return answer.status, text


CASES = [(name, method) for name, row in ROWS.items() for method in row.acts]


@pytest.mark.parametrize(("name", "method"), CASES, ids=[f"{name}-{method}" for name, method in CASES])
def test_route(world: World, name: str, method: str) -> None:
    row = ROWS[name]
    act = row.acts[method]
    wrong: list[str] = []
    for role in ROLES:
        refers = row.target is not None or act.refers
        answers = {
            which: _send(world, row, name, method, act, role, which)
            for which in (("own", "foreign", "missing") if refers else ("own",))
        }
        for which, answer in answers.items():
            expected = _expectation(row, method, act, role, which, answer)
            if expected:
                wrong.append(f"{role}, {which}: got {answer.status}, expected {expected}")
            if role not in PLATFORM and CANARY in answer.text.lower():
                wrong.append(f"{role}, {which}: the answer holds a word of the other tenant's")
        if refers and role not in PLATFORM:
            foreign, missing = (_looks(answers[which], world, row, act, which) for which in ("foreign", "missing"))
            if foreign != missing:
                wrong.append(f"{role}: foreign differs from missing:\n  {foreign}\n  {missing}"[:1500])
    assert not wrong, "\n".join([f"{method} {name}", *wrong])


def _expectation(row: Row, method: str, act: Act, role: str, which: Which, answer: Answer) -> str:
    """Empty when the answer is what it has to be; otherwise what it has to be."""
    status = answer.status
    reads = method == "GET"
    may = role in act.roles and _exists(row, act, role, which)
    if may:
        did = row.is_api or reads or answer.acted or not act.audited
        status = 200 if act.conflicts and status == 409 else status
        return "" if status in LET_IN and not answer.is_login and did else "to be let in"
    if answer.acted:
        return "nothing to be done"
    if not row.is_api and (role == ANONYMOUS or role in KEYS):
        return "" if answer.is_login or (status == 404 and row.target is None) else "the way to the login"
    if role in {ANONYMOUS, "key:revoked"}:
        return "" if status == 401 else "401"
    if role == "key:inference" or (role == "key:reading" and not reads):
        return "" if status == 403 else "403: no such scope"
    if row.target is not None and row.target.platform and role not in act.roles:
        wanted = {403}
    elif row.target is not None and not _exists(row, act, role, which):
        wanted = set(row.absent)
    elif row.target is None and not _exists(row, act, role, which):
        wanted = {403, 404, 422}
    else:
        wanted = {404} if role in row.hidden else {403}
        if not row.is_api:
            wanted |= {404} if reads else {302, 404}
    return "" if status in wanted else f"one of {sorted(wanted)}"


def _exists(row: Row, act: Act, role: str, which: Which) -> bool:
    """For this role."""
    if which == "own" or (row.target is None and not act.refers):
        return True
    elsewhere = row.target is not None and (row.target.platform or row.target.placed)
    return which == "foreign" and role in PLATFORM and not elsewhere


@pytest.mark.parametrize("role", [role for role in ROLES if role not in PLATFORM])
def test_the_admin_is_for_the_platforms_staff(world: World, role: str) -> None:
    client = world.client(role)
    for path, name in routes():
        if not ADMIN.match(path) or name in {"admin:login", "admin:jsi18n", "admin:logout"}:
            continue
        url = "/" + re.sub(r"<[^>]+>|\(\?P<url>[^)]*\)\$?", "1", path).replace("^", "").replace("$", "")
        url = re.sub(r"\(\?P<app_label>([a-z_]+)[^)]*\)", r"\1", url)
        for method in ("get", "post"):
            response = getattr(client, method)(url)
            assert response.status_code in {302, 403, 404}, f"{method} {url}: {response.status_code}"
            if response.status_code == 302:
                assert "login" in response.headers["Location"], url
            assert CANARY not in response.content.decode().lower()


@pytest.mark.parametrize("role", ROLES)
def test_the_entrance_tells_nothing_of_any_tenant(world: World, role: str) -> None:
    client = world.client(role)
    for path, name in routes():
        if not ENTRANCE.match(path) or "logout" in name:
            continue
        url = "/" + re.sub(r"<[^>]+>|\(\?P<[^)]*\)", "x", path).replace("^", "").replace("$", "")
        response = client.get(url)
        assert response.status_code < 500, url
        if role not in PLATFORM:
            assert CANARY not in response.content.decode().lower(), url


KINDS = ("project", "key", "user", "model")
SHARED_QUERIES = ("tenant=lending", "project=loans", "export=csv", "view=platform")
# A page passes over names that it does not know: two words for one thing are asked at once. The API refuses them.
PAGE_QUERIES = (
    *SHARED_QUERIES,
    "tenant=all&page_size=200",
    f"search={CANARY[:5]}&q={CANARY[:5]}",
    *(f"group_by={kind}&by={kind}" for kind in KINDS),
)
API_QUERIES = (
    *SHARED_QUERIES,
    "tenant=all",
    "page_size=200",
    f"search={CANARY[:5]}",
    f"q={CANARY[:5]}",
    *(f"{name}={kind}" for name in ("group_by", "by") for kind in KINDS),
)


@pytest.mark.parametrize("role", ["owner", "key:management"])
def test_no_list_holds_anything_foreign_whatever_is_asked_of_it(world: World, role: str) -> None:
    """Filters, searches, exports and groupings stay inside one's own tenant."""
    client = world.client(role)
    wrong: list[str] = []
    for name, row in ROWS.items():
        if row.target is not None or "GET" not in row.acts or (role.startswith("key:") and not row.is_api):
            continue
        queries = API_QUERIES if row.is_api else PAGE_QUERIES
        for query in (*queries, f"key={world.foreign['key']}", f"user={world.cast['outsider'].pk}"):
            response = client.get(f"{reverse(name)}?{query}")
            assert response.status_code < 500, f"{name}?{query}"
            text = b"".join(response) if response.streaming else response.content
            if CANARY in text.decode().lower():
                wrong.append(f"{name}?{query}")
    assert not wrong, f"These answers hold words of the other tenant's: {wrong}"


def test_v1_is_as_isolated(live_lobby: LobbyFactory, tmp_path: Path) -> None:
    """The gateway's routes, of a running Lobby: keys of two tenants, a revoked one, and every session."""
    from apps.gateway import fronts

    routes = {*fronts.ROUTES, *fronts.bedrock.PATHS, "/v1/models", "/v1/models/{id}"}
    assert routes == set(V1), "Give each of the gateway's routes a row."
    lobby = live_lobby(start=False)
    source = """
import json
from apps.models import services as registry
from apps.tenants.access import Actor
from tests.cast import assemble
actor = Actor.system("test")
cast = assemble()
provider = registry.create_provider(actor=actor, slug="box", name="Box", base_url="sandbox:", kind="sandbox")
for slug, tenant, kind in (("own", cast.claims, "chat"), ("theirs", cast.lending, "chat"),
                           ("own-vec", cast.claims, "embedding"), ("theirs-vec", cast.lending, "embedding")):
    model = registry.create_model(actor=actor, slug=slug, name=slug, lifecycle="approved", kind=kind)
    registry.create_endpoint(
        actor=actor, model=model, provider=provider, upstream_model={"chat": "sandbox-chat"}.get(kind, "sandbox-embed")
    )
    registry.grant_access(actor=actor, tenant=tenant, model=model)
fake = registry.create_provider(actor=actor, slug="fake", name="Fake", base_url=FAKE, kind="openai_compatible",
                                credential_source="database", secret="sk-fake")
for kind in OPAQUE:
    for slug, tenant in (("own", cast.claims), ("theirs", cast.lending)):
        name = f"{slug}-{kind}"
        model = registry.create_model(actor=actor, slug=name, name=name, lifecycle="approved", kind=kind)
        registry.create_endpoint(actor=actor, model=model, provider=fake, upstream_model=f"fake-{kind}")
        registry.grant_access(actor=actor, tenant=tenant, model=model)
from importlib import import_module
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
sessions = {}
for role, user in cast.people.items():
    store = import_module(settings.SESSION_ENGINE).SessionStore()
    store[SESSION_KEY] = str(user.pk)
    store[BACKEND_SESSION_KEY] = "django.contrib.auth.backends.ModelBackend"
    store[HASH_SESSION_KEY] = user.get_session_auth_hash()
    store.save()
    sessions[role] = store.session_key
print(json.dumps({"keys": cast.keys, "sessions": sessions}))
"""
    with FakeOpenAI(tmp_path / "count.jsonl") as fake:
        known = f"FAKE, OPAQUE = {fake.url!r}, {[kind for kind, _ in OPAQUE.values()]!r}\n"
        _check_v1(lobby, json.loads(lobby.python(known + source).strip().splitlines()[-1]))


def _check_v1(lobby: LiveLobby, made: dict[str, Any]) -> None:
    keys: dict[str, str] = made["keys"]
    lobby.start()
    with httpx.Client(base_url=lobby.url, timeout=30) as client:
        for path, allowed in V1.items():
            for role in (ANONYMOUS, "key:inference", "key:reading", "key:management", "key:revoked", "key:foreign"):
                headers = {"Authorization": f"Bearer {keys[role[4:]]}"} if role != ANONYMOUS else {}
                own, foreign = ("theirs", "own") if role == "key:foreign" else ("own", "theirs")
                answers = {
                    which: _call_v1(client, path, headers, model)
                    for which, model in (("own", own), ("foreign", foreign), ("missing", "nosuch"))
                }
                where = f"{path} as {role}"
                if role not in allowed:
                    wanted = 401 if role in {ANONYMOUS, "key:revoked"} else 403
                    assert {answer.status_code for answer in answers.values()} == {wanted}, where
                    continue
                assert answers["own"].status_code == 200, f"{where}: {answers['own'].text}"
                if path == "/v1/models":
                    listed = {model["id"] for model in answers["own"].json()["data"]}
                    kinds = {f"{own}-{kind}" for kind, _ in OPAQUE.values()}
                    assert listed == {own, f"{own}-vec"} | kinds, where
                    continue
                assert answers["foreign"].status_code == answers["missing"].status_code == 404, where
                words = [
                    re.sub(r"'(own|theirs|nosuch)(-[a-z]+)?'|[0-9a-f]{32}", "…", answers[each].text)
                    for each in ("foreign", "missing")
                ]
                assert words[0] == words[1], where

        for role, session in made["sessions"].items():
            # A session is no credential of /v1.
            assert client.get("/v1/models", headers={"Cookie": f"sessionid={session}"}).status_code == 401, role


# The kind of model that each of these takes, and what is asked of it.
OPAQUE: dict[str, tuple[str, dict[str, Any]]] = {
    "/v1/rerank": ("rerank", {"query": "a", "documents": ["a", "b"]}),
    "/v1/images/generations": ("image", {"prompt": "a cat"}),
    "/v1/audio/transcriptions": ("transcription", {}),
    "/v1/audio/speech": ("speech", {"input": "Hello", "voice": "alloy"}),
    "/v1/moderations": ("moderation", {"input": "Hello"}),
}


def _call_v1(client: httpx.Client, path: str, headers: dict[str, str], model: str) -> httpx.Response:
    if path == "/v1/chat/completions":
        body: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        return client.post(path, headers=headers, json=body)
    if path.startswith("/v1/messages"):
        body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
        body |= {} if path.endswith("/count_tokens") else {"max_tokens": 9}
        return client.post(path, headers=headers, json=body)
    if path == "/v1/responses":
        return client.post(path, headers=headers, json={"model": model, "input": "Hello"})
    if path == "/v1/embeddings":
        name = f"{model}-vec" if model != "nosuch" else model
        return client.post(path, headers=headers, json={"model": name, "input": "Hello"})
    if path in OPAQUE:
        kind, body = OPAQUE[path]
        name = f"{model}-{kind}" if model != "nosuch" else model
        if kind == "transcription":
            form: dict[str, Any] = {"model": (None, name), "file": ("a.wav", b"RIFF")}
            return client.post(path, headers=headers, files=form)
        return client.post(path, headers=headers, json={"model": name, **body})
    if path.startswith("/model/"):
        if "converse" in path:
            body = {"messages": [{"role": "user", "content": [{"text": "Hello"}]}]}
        else:
            body = {"anthropic_version": "bedrock-2023-05-31", "max_tokens": 9}
            body["messages"] = [{"role": "user", "content": "Hello"}]
        return client.post(path.replace("{id}", model), headers=headers, json=body)
    return client.get(path.replace("{id}", model), headers=headers)
