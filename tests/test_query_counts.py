"""A list costs as many queries with 3 rows as with 100. A list without an entry here fails the run.

To add one: give its URL name a builder that makes ``count`` rows for tenant ``claims`` (straight in the tables: this is
about reading).
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.core.cache import cache
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from apps.evaluation.models import (
    Approval,
    Dataset,
    DatasetVersion,
    Evaluation,
    EvaluationItem,
    EvaluationMetric,
    Example,
    ExampleRevision,
    GateDecision,
    InboxItem,
    Monitor,
    MonitorAlert,
    MonitorCheck,
    Score,
    Scorer,
    ScorerVersion,
    SignOff,
    Upload,
)
from apps.gateway.models import RequestLog, Route, RouteRevision, RouteTarget, UsageRollup
from apps.models.models import AccessGrant, Endpoint, Model, Price, Provider
from apps.playground.models import Answer, Conversation, Feedback, SavedExample, Turn, Vote
from apps.prompts.models import Prompt, PromptVersion, Publication, Release, ReleaseShare
from apps.tenants import audit
from apps.tenants.access import Actor
from apps.tenants.models import ApiKey, Budget, Membership, Project, RateLimit, Tenant, User
from tests.cast import Cast
from tests.isolation_table import ROWS
from tests.test_isolation import BACKEND, routes

Builder = Callable[[Cast, int], None]


def tenants(cast: Cast, count: int) -> None:
    Tenant.objects.bulk_create([Tenant(slug=f"t{n}", name=f"Tenant {n}") for n in range(count)])


def projects(cast: Cast, count: int) -> None:
    Project.objects.bulk_create([Project(tenant=cast.claims, slug=f"p{n}", name=f"Project {n}") for n in range(count)])


def users(count: int) -> list[User]:
    return User.objects.bulk_create([User(email=f"u{n}@example.org", name=f"User {n}") for n in range(count)])


def members(cast: Cast, count: int) -> None:
    rows = [Membership(tenant=cast.claims, user=user, role="viewer") for user in users(count)]
    Membership.objects.bulk_create(rows)


def keys(cast: Cast, count: int) -> None:
    projects(cast, count)
    people = users(count)
    rows = Project.objects.for_tenant(cast.claims).filter(slug__startswith="p")
    ApiKey.objects.bulk_create(
        [
            ApiKey(project=row, name=f"Key {n}", prefix=f"k{n:09}", scopes=["inference"], created_by=people[n])
            for n, row in enumerate(rows)
        ]
    )


def limits(cast: Cast, count: int) -> None:
    keys(cast, count)
    RateLimit.objects.bulk_create(
        [
            RateLimit(
                tenant=cast.claims, project=key.project, api_key=key, user=key.created_by, metric="requests", limit=9
            )
            for key in ApiKey.objects.for_tenant(cast.claims).filter(name__startswith="Key ")
        ]
    )


def budgets(cast: Cast, count: int) -> None:
    keys(cast, count)
    Budget.objects.bulk_create(
        [
            Budget(tenant=cast.claims, project=key.project, api_key=key, amount_picousd=1)
            for key in ApiKey.objects.for_tenant(cast.claims).filter(name__startswith="Key ")
        ]
    )


def audit_entries(cast: Cast, count: int) -> None:
    for n in range(count):
        audit.record(Actor.system("test"), "project.updated", cast.triage, {"n": n}, cast.claims)


def providers(cast: Cast, count: int) -> None:
    Provider.objects.bulk_create(
        [
            Provider(slug=f"up{n}", name=f"Upstream {n}", kind="openai_compatible", base_url="https://192.0.43.7")
            for n in range(count)
        ]
    )


def endpoints(cast: Cast, count: int) -> None:
    """A provider, a model, an endpoint, a price and a grant of each."""
    providers(cast, count)
    models = Model.objects.bulk_create([Model(slug=f"m{n}", name=f"Model {n}") for n in range(count)])
    found = Provider.objects.filter(slug__startswith="up").order_by("pk")
    rows = Endpoint.objects.bulk_create(
        [
            Endpoint(model=model, provider=provider, upstream_model=model.slug)
            for model, provider in zip(models, found, strict=True)
        ]
    )
    Price.objects.bulk_create(
        [Price(model=row.model, endpoint=row, input_picousd=1, created_by=cast["owner"]) for row in rows]
    )
    projects(cast, count)
    mine = Project.objects.for_tenant(cast.claims).filter(slug__startswith="p")
    AccessGrant.objects.bulk_create(
        [
            AccessGrant(tenant=cast.claims, project=project, model=model, granted_by=cast["owner"])
            for project, model in zip(mine, models, strict=True)
        ]
    )


def requests(cast: Cast, count: int) -> None:
    keys(cast, count)
    RequestLog.objects.bulk_create(
        [
            RequestLog(
                request_id=f"{n:032}", at=timezone.now() - timedelta(seconds=n), tenant=cast.claims,
                project=key.project, api_key=key, user=key.created_by, model_slug=f"m{n}",
                operation="chat.completions", outcome="ok", http_status=200,
            )
            for n, key in enumerate(ApiKey.objects.for_tenant(cast.claims).filter(name__startswith="Key "))
        ]
    )  # fmt: skip


def usage(cast: Cast, count: int) -> None:
    keys(cast, count)
    endpoints_models = Model.objects.bulk_create([Model(slug=f"m{n}", name=f"Model {n}") for n in range(count)])
    day = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    found = ApiKey.objects.for_tenant(cast.claims).filter(name__startswith="Key ")
    UsageRollup.objects.bulk_create(
        [
            UsageRollup(
                granularity=granularity, bucket=day, tenant_id=cast.claims.pk, project_id=key.project_id,
                api_key_id=key.pk, user_id=key.created_by_id or 0, model_id=model.pk, status="measured", requests=1,
                cost_picousd=10**9,
            )
            for key, model in zip(found, endpoints_models, strict=True)
            for granularity in ("hour", "day")
        ]
    )  # fmt: skip


def opinions(cast: Cast, count: int) -> None:
    """So many examples, answers, votes and words of feedback, each of another person and of another model."""
    people, use_case = users(count), "summarise"
    Model.objects.bulk_create([Model(slug=f"m{n}", name=f"Model {n}") for n in range(count)])
    conversation = Conversation.objects.create(
        tenant=cast.claims, project=cast.triage, owner=cast["owner"], use_case=use_case, updated_at=timezone.now()
    )
    turns = Turn.objects.bulk_create([Turn(conversation=conversation, message=f"Ask {n}") for n in range(count)])
    answers = Answer.objects.bulk_create(
        [Answer(turn=turn, column=0, model_slug=f"m{n}", text="Yes", status="done") for n, turn in enumerate(turns)]
    )
    SavedExample.objects.bulk_create(
        [
            SavedExample(
                tenant=cast.claims, project=cast.triage, author=user, use_case=use_case, title=f"T{n}",
                model_slug=f"m{n}", answer="Yes",
            )
            for n, user in enumerate(people)
        ]
    )  # fmt: skip
    Feedback.objects.bulk_create(
        [
            Feedback(
                tenant=cast.claims, answer=answers[n], user=user, model_slug=f"m{n}", use_case=use_case,
                verdict="down", reasons=["wrong"], triaged_by=user, triaged_at=timezone.now(),
            )
            for n, user in enumerate(people)
        ]
    )  # fmt: skip
    Vote.objects.bulk_create(
        [
            Vote(
                tenant=cast.claims, turn=turns[n], user=user, answer_a=answers[n], answer_b=answers[0],
                model_a=f"m{n}", model_b="m0", use_case=use_case, winner="a",
            )
            for n, user in enumerate(people)
        ]
    )  # fmt: skip


def routes_of_tenant(cast: Cast, count: int) -> None:
    endpoints(cast, count)
    Route.objects.bulk_create([Route(tenant=cast.claims, slug=f"r{n}", name=f"Route {n}") for n in range(count)])
    RouteTarget.objects.bulk_create(
        [
            RouteTarget(route=route, endpoint=endpoint)
            for route, endpoint in zip(Route.objects.for_tenant(cast.claims), Endpoint.objects.all(), strict=False)
        ]
    )


def revised(cast: Cast) -> Route:
    found = Route.objects.for_tenant(cast.claims).filter(slug="revised").first()
    return found or Route.objects.create(tenant=cast.claims, slug="revised", name="Revised")


def revisions_of_route(cast: Cast, count: int) -> None:
    """Of one route that is still there with the 100."""
    route = revised(cast)
    people = users(count)
    RouteRevision.objects.unscoped("test").filter(route=route).delete()
    target = {
        "to": "A", "model": "a", "endpoint": None, "purpose": "normal",
        "position": 0, "weight": 1, "condition": "", "arm": "",
    }  # fmt: skip
    rows = [
        RouteRevision(
            route=route, number=n + 1, strategy="priority", sticky=False, author=people[n], targets=[target] * (n % 40)
        )
        for n in range(count)
    ]
    RouteRevision.objects.bulk_create(rows)


def conversations(cast: Cast, count: int) -> None:
    """So many of each who looks, each in another project."""
    projects(cast, count)
    mine = Project.objects.for_tenant(cast.claims).filter(slug__startswith="p")
    Conversation.objects.bulk_create(
        [
            Conversation(tenant=cast.claims, project=project, owner=cast[part], updated_at=timezone.now())
            for project in mine
            for part in ("owner", "service_admin")
        ]
    )


def prompts(cast: Cast, count: int) -> None:
    """As many prompts; the first has as many versions, releases and publications."""
    said: dict[str, Any] = {"messages": [{"role": "user", "content": "Sort."}]}
    people = users(count)
    rows = Prompt.objects.bulk_create(
        [Prompt(tenant=cast.claims, slug=f"s{n}", name=f"Prompt {n}", owner=people[n]) for n in range(count)]
    )
    versions = PromptVersion.objects.bulk_create(
        [
            PromptVersion(
                prompt=rows[0] if n % 2 else rows[n], number=n + 1, content_hash=str(n), author=people[n], **said
            )
            for n in range(count)
        ]
    )
    releases = Release.objects.bulk_create(
        [
            Release(prompt=each.prompt, environment="dev", label=f"l{n}", released_by=people[n])
            for n, each in enumerate(versions)
        ]
    )
    ReleaseShare.objects.bulk_create(
        [ReleaseShare(release=release, version=each) for release, each in zip(releases, versions, strict=True)]
    )
    Publication.objects.bulk_create([Publication(version=each, published_by=each.author) for each in versions])


def columns(cast: Cast, count: int) -> None:
    """All that a column of the playground chooses from."""
    routes_of_tenant(cast, count)
    prompts(cast, count)


def gate_decisions(cast: Cast, count: int) -> None:
    """As many decisions, each third about a route and the others each about a prompt, with an approval and both
    evaluations."""
    prompts(cast, count)
    people = list(User.objects.filter(email__endswith="@example.org"))
    frozen = DatasetVersion.objects.create(
        dataset=Dataset.objects.create(tenant=cast.claims, slug=f"d{count}", name="Set"), number=1, size=0
    )
    runs = Evaluation.objects.bulk_create(
        [
            Evaluation(tenant=cast.claims, project=cast.triage, name=f"Run {n}", model="m", dataset_version=frozen)
            for n in range(count)
        ]
    )
    routes = Route.objects.bulk_create(
        [Route(tenant=cast.claims, slug=f"guarded{n}", name=f"Guarded {n}") for n in range(count)]
    )
    revisions = RouteRevision.objects.bulk_create(
        [RouteRevision(route=route, number=1, strategy="priority", sticky=False, targets=[]) for route in routes]
    )
    about: list[dict[str, Any]] = [
        {"prompt": version.prompt, "version": version} if n % 3 else {"route": revision.route, "revision": revision}
        for n, (version, revision) in enumerate(
            zip(PromptVersion.objects.for_tenant(cast.claims), revisions, strict=False), 1
        )
    ]
    rows = GateDecision.objects.bulk_create(
        [
            GateDecision(tenant=cast.claims, candidate=run, baseline=run, status="waiting", **each)
            for each, run in zip(about, runs, strict=True)
        ]
    )
    Approval.objects.bulk_create(
        [Approval(decision=row, user=people[n], user_label="x", is_approval=True) for n, row in enumerate(rows)]
    )


def datasets(cast: Cast, count: int) -> None:
    """As many datasets; the first has as many examples, versions with sign-offs, uploads; and as many inbox items."""
    prompts(cast, count)
    people = list(User.objects.filter(email__endswith="@example.org").order_by("pk"))
    tests = list(Prompt.objects.for_tenant(cast.claims).filter(slug__startswith="s").order_by("pk"))
    rows = Dataset.objects.bulk_create(
        [
            Dataset(tenant=cast.claims, slug=f"d{n}", name=f"Set {n}", owner=people[n], prompt=tests[n])
            for n in range(count)
        ]
    )
    examples = Example.objects.bulk_create([Example(dataset=rows[0], key=f"k{n}") for n in range(count)])
    revisions = ExampleRevision.objects.bulk_create(
        [
            ExampleRevision(example=each, number=1, input={"claim": each.key}, content_hash=each.key, source="upload")
            for each in examples
        ]
    )
    for each, revision in zip(examples, revisions, strict=True):
        each.current = revision
    Example.objects.unscoped("test").bulk_update(examples, ["current"])
    versions = DatasetVersion.objects.bulk_create(
        [
            DatasetVersion(dataset=rows[0], number=n + 1, manifest_hash=str(n), size=1, created_by=people[n])
            for n in range(count)
        ]
    )
    SignOff.objects.bulk_create(
        [SignOff(version=each, user=people[n], user_label=f"u{n}", is_approval=True) for n, each in enumerate(versions)]
    )
    Upload.objects.bulk_create(
        [
            Upload(dataset=rows[0], file_name=f"f{n}", format="csv", size=1, archive_key="x", created_by=people[n])
            for n in range(count)
        ]
    )
    InboxItem.objects.bulk_create(
        [
            InboxItem(
                tenant=cast.claims, prompt=tests[n], source="feedback", input={"claim": f"{n}"}, content_hash=str(n),
                created_by=people[n], decided_by=people[n], example=examples[n],
            )
            for n in range(count)
        ]
    )  # fmt: skip


def runs(cast: Cast, count: int) -> None:
    """As many runs of as many scorers on a dataset each, with an item; prompts to choose from, too."""
    prompts(cast, count)
    versions = list(PromptVersion.objects.for_tenant(cast.claims).select_related("prompt"))
    datasets = Dataset.objects.bulk_create(
        [Dataset(tenant=cast.claims, slug=f"d{n}", name=f"Dataset {n}") for n in range(count)]
    )
    frozen = DatasetVersion.objects.bulk_create(
        [DatasetVersion(dataset=each, number=1, manifest_hash=each.slug, size=1) for each in datasets]
    )
    scorers = Scorer.objects.bulk_create(
        [Scorer(tenant=cast.claims, slug=f"s{n}", name=f"Scorer {n}", kind="contains") for n in range(count)]
    )
    made = ScorerVersion.objects.bulk_create(
        [
            ScorerVersion(scorer=each, number=1, fingerprint="x", direction="higher", value_kind="binary")
            for each in scorers
        ]
    )
    rows = Evaluation.objects.bulk_create(
        [
            Evaluation(
                public_id=f"run{n}",
                tenant=cast.claims,
                project=cast.triage,
                name=f"Run {n}",
                sweep="sweep",
                model="m",
                prompt_version=versions[n],
                dataset_version=frozen[n],
                created_by=cast["owner"],
                status="done",
                items_total=1,
            )
            for n in range(count)
        ]
    )
    EvaluationMetric.objects.bulk_create(
        [EvaluationMetric(evaluation=row, scorer_version=made[n], summary={"mean": 1}) for n, row in enumerate(rows)]
    )


def _figures_of_check(n: int) -> dict[str, Any]:
    return {
        "scorer": "s0", "name": "Scorer 0", "kind": "binary", "direction": "higher", "unit": "", "version": 1, "n": 30,
        "mean": 0.5, "compared": 0.5, "low": 0.4, "centre": 0.6, "high": 0.8, "verdict": "out" if n % 2 else "in",
    }  # fmt: skip


def attacked(cast: Cast, count: int) -> None:
    """As many red-team runs, and as many attacks of the first one that got through."""
    runs(cast, count)
    Scorer.objects.for_tenant(cast.claims).update(kind="attack-success")
    run = Evaluation.objects.for_tenant(cast.claims).earliest("pk")
    Evaluation.objects.unscoped("test").filter(pk=run.pk).update(public_id="attacked")
    version = run.metrics.get().scorer_version
    examples = Example.objects.bulk_create(
        [Example(dataset=run.dataset_version.dataset, key=f"attack-{n}") for n in range(count)]
    )
    revisions = ExampleRevision.objects.bulk_create(
        [
            ExampleRevision(
                example=each,
                number=1,
                input={"messages": [{"role": "user", "content": f"attack {n}"}]},
                expected={"attack": {"by": "refusal"}, "behaviour": "Refuses."},
                tags=["high", "direct"],
                slice="jailbreak",
                source="template",
            )
            for n, each in enumerate(examples)
        ]
    )
    items = EvaluationItem.objects.bulk_create(
        [
            EvaluationItem(evaluation=run, revision=each, position=n, status="done", output="Gladly")
            for n, each in enumerate(revisions)
        ]
    )
    Score.objects.bulk_create([Score(item=each, scorer_version=version, value=1, reason="Told.") for each in items])


def monitors(cast: Cast, count: int) -> None:
    """As many monitors with a check and an alert each, and as many checks of the first one."""
    runs(cast, count)
    prompts_made = list(Prompt.objects.for_tenant(cast.claims))
    rows = [
        Monitor(
            tenant=cast.claims,
            slug="first" if n == 0 else f"m{n}",
            name=f"Monitor {n}",
            project=cast.triage,
            dataset=dataset,
            prompt=prompts_made[n],
            environment="prod",
            label="live",
            updated_by=cast["owner"],
        )
        for n, dataset in enumerate(Dataset.objects.for_tenant(cast.claims).order_by("pk"))
    ]
    made = Monitor.objects.bulk_create(rows)
    scorer = Scorer.objects.for_tenant(cast.claims).order_by("pk")[0]
    for each in made:
        each.scorers.add(scorer)
        each.recipients.add(cast["owner"])
    evaluations = list(Evaluation.objects.for_tenant(cast.claims).order_by("pk"))
    now = timezone.now()
    checks = MonitorCheck.objects.bulk_create(
        [
            MonitorCheck(
                monitor=made[0],
                since=now,
                until=now + timedelta(hours=n),
                evaluation=evaluations[n],
                verdict="out" if n % 2 else "in",
                reasons=["It is worse."],
                statistics=[_figures_of_check(n)],
            )
            for n in range(count)
        ]
    )
    MonitorAlert.objects.bulk_create([MonitorAlert(monitor_check=each, channel="mail", address="a") for each in checks])


LISTS: dict[str, Builder] = {
    "api:gate-list": gate_decisions,
    "api:dataset-list": datasets,
    "api:example-list": datasets,
    "api:dataset-version-list": datasets,
    "api:upload-list": datasets,
    "evaluation:dataset-list": datasets,
    "evaluation:dataset-detail": datasets,
    "evaluation:dataset-version-list": datasets,
    "evaluation:upload-list": datasets,
    "evaluation:inbox": datasets,
    "api:prompt-list": prompts,
    "api:prompt-version-list": prompts,
    "api:prompt-release-list": prompts,
    "api:published-prompt-list": prompts,
    "prompts:list": prompts,
    "prompts:shared-list": prompts,
    "prompts:release-list": prompts,
    "api:tenant-list": tenants,
    "api:project-list": projects,
    "api:member-list": members,
    "api:key-list": keys,
    "api:limit-list": limits,
    "api:budget-list": budgets,
    "api:audit-list": audit_entries,
    "api:provider-list": providers,
    "api:endpoint-list": endpoints,
    "api:model-list": endpoints,
    "api:price-list": endpoints,
    "api:grant-list": endpoints,
    "api:usage-summary": usage,
    "api:usage-series": usage,
    "api:request-list": requests,
    "api:route-list": routes_of_tenant,
    "api:route-revision-list": revisions_of_route,
    "gateway:route-detail": revisions_of_route,
    "tenants:key-list": keys,
    "tenants:project-list": projects,
    "tenants:member-list": members,
    "models:list": endpoints,
    "models:provider-list": endpoints,
    "gateway:usage": usage,
    "gateway:request-list": requests,
    "gateway:route-list": routes_of_tenant,
    "api:evaluation-list": runs,
    "api:scorer-list": runs,
    "api:monitor-list": monitors,
    "api:monitor-check-list": monitors,
    "evaluation:monitor-list": monitors,
    "evaluation:monitor-detail": monitors,
    "evaluation:run-list": runs,
    "evaluation:sweep-detail": runs,
    "api:sweep-detail": runs,
    "evaluation:scorer-list": runs,
    "evaluation:red-team-list": attacked,
    "evaluation:red-team-report": attacked,
    "portal:home": usage,
    "portal:home-live": usage,
    "playground:index": columns,
    "playground:conversation-list": conversations,
    "playground:example-list": opinions,
    "playground:feedback-list": opinions,
    "playground:rating-sets": opinions,
    "playground:recommendations": opinions,
}
QUERIES = {"api:usage-summary": "?group_by=project", "playground:recommendations": "?use_case=summarise"}


def is_list(name: str) -> bool:
    row = ROWS.get(name)
    lists = name.endswith(("-list", ":list"))
    return lists and row is not None and row.target is None and "GET" in row.acts


OF_A_DATASET = {
    "api:example-list",
    "api:dataset-version-list",
    "api:upload-list",
    "evaluation:dataset-detail",
    "evaluation:dataset-version-list",
    "evaluation:upload-list",
}
OF_A_PROMPT = {"api:prompt-version-list", "api:prompt-release-list", "prompts:release-list"}


def test_every_list_has_an_entry() -> None:
    without = [name for _, name in routes() if is_list(name) and name not in LISTS]
    assert not without, f"Give these lists an entry in {__name__}: {without}"


@pytest.mark.parametrize("name", LISTS)
@pytest.mark.parametrize("part", ["service_admin", "owner"])
def test_a_list_costs_the_same_with_3_and_100_rows(cast: Cast, name: str, part: str) -> None:
    if part == "owner" and name in {"api:provider-list", "api:endpoint-list", "api:price-list", "models:provider-list"}:
        part = "service_engineer"
    client = Client()
    client.force_login(cast[part], backend=BACKEND)
    client.post("/workspace/", {"tenant": "claims"})
    arguments = {"tenant": "claims", "prompt": "s0"} if name in OF_A_PROMPT else {}
    if name in OF_A_DATASET:
        arguments = {"tenant": "claims", "dataset": "d0"}
    if name in {"api:monitor-check-list", "evaluation:monitor-detail"}:
        arguments = {"tenant": "claims", "monitor": "first"}
    if name in {"api:route-revision-list", "gateway:route-detail"}:
        arguments = {"id" if name.startswith("api:") else "pk": str(revised(cast).pk)}
    if name.endswith(":sweep-detail"):
        arguments = {"id": "sweep"} if name.startswith("api:") else {"sweep": "sweep"}
    if name == "evaluation:red-team-report":
        arguments = {"run": "attacked"}
    url = reverse(name, kwargs=arguments) + QUERIES.get(name, "?page_size=200" if _takes_page_size(name) else "")

    def cost() -> tuple[int, list[str]]:
        cache.clear()
        with CaptureQueriesContext(
            connection,
        ) as captured:
            response = client.get(url)
        assert response.status_code == 200
        return len(captured), [query["sql"][:200] for query in captured.captured_queries]

    LISTS[name](cast, 3)
    cost()  # what is read once per process
    few, _ = cost()
    _forget(cast)
    LISTS[name](cast, 100)
    many, queries = cost()
    assert many == few, "\n".join(queries[-40:])


def _takes_page_size(name: str) -> bool:
    return name.startswith("api:") and name.endswith("-list")


def _forget(cast: Cast) -> None:
    """The three rows, so that the 100 can have their names."""
    for rows in (
        GateDecision.objects.unscoped("test"),
        InboxItem.objects.unscoped("test"),
        Monitor.objects.unscoped("test"),
        Evaluation.objects.unscoped("test"),
        Scorer.objects.unscoped("test"),
        Dataset.objects.unscoped("test"),
        Prompt.objects.unscoped("test"),
        Conversation.objects.unscoped("test"),
        SavedExample.objects.unscoped("test"),
        Route.objects.unscoped("test").exclude(slug="revised"),
        UsageRollup.objects.unscoped("test"),
        RequestLog.objects.unscoped("test"),
        Price.objects.all(),
        AccessGrant.objects.unscoped("test"),
        Endpoint.objects.all(),
        Model.objects.all(),
        Provider.objects.all(),
        RateLimit.objects.unscoped("test"),
        Budget.objects.unscoped("test"),
        ApiKey.objects.unscoped("test").filter(name__startswith="Key "),
        Membership.objects.unscoped("test").filter(user__email__endswith="@example.org"),
        User.objects.filter(email__endswith="@example.org"),
        Project.objects.unscoped("test").filter(slug__startswith="p"),
        Tenant.objects.unscoped("test").filter(slug__startswith="t"),
    ):
        rows.delete()
