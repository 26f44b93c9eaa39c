"""What each role may do on each route: the expectations that ``tests/test_isolation.py`` holds every route to.

One row per route, by its URL name; a route without a row fails the run. To add one:

    "tenants:widget-list": page(GET=MEMBERS),                          a page without an object
    "tenants:widget-detail": page(WIDGET, GET=MEMBERS, POST=ADMINS),   one with: WIDGET names own, foreign, missing
    "api:widget-list": api(GET=MEMBERS, POST=to(ADMINS, {...})),       a body where the answer depends on it

``GET=MEMBERS`` names the roles that are let in. Everybody else has to be refused: anonymous callers and bad keys with
401 (a page: by the way to the login), the rest with 403 or 404 (a page that acts may also go back with a message),
and whatever the answer, the audit trail must not have grown. On an object of another tenant, whoever is no platform
staff has to get exactly the answer of an object that does not exist; and no answer to them may hold a word of the other
tenant's (see ``CANARY``). ``hidden`` are roles for which even their own tenant's object does not exist (404).

Not here, because they do not exist yet: websockets, tasks, exports, archive paths. Each gets a table of its own beside
this one when it comes. The admin's routes share one rule, and so do the entrance's (see the test).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from django.core.files.uploadedfile import SimpleUploadedFile

# A word in everything of the other tenant that has a name: its own slugs, which a caller may type, are without it.
CANARY = "zqxcanary"

ANONYMOUS = "anonymous"
PEOPLE = ("viewer", "reviewer", "developer", "scientist", "owner", "service_engineer", "service_admin")
KEYS = ("key:inference", "key:reading", "key:management", "key:revoked")
ROLES = (ANONYMOUS, *PEOPLE, *KEYS)
PLATFORM = frozenset({"service_engineer", "service_admin"})

NOBODY: frozenset[str] = frozenset()
SERVICE_ADMIN = frozenset({"service_admin"})
STAFF = PLATFORM
ADMINS = frozenset({"owner", "service_admin"})
ADMINS_AND_ENGINEERS = ADMINS | STAFF
MEMBERS = frozenset(PEOPLE)
READERS = MEMBERS | {"key:reading", "key:management"}  # of the API
BUILDERS = frozenset({"developer", "scientist", "owner"})
BUILDERS_AND_STAFF = BUILDERS | STAFF
KEY_READERS = BUILDERS_AND_STAFF | {"key:reading", "key:management"}
KEY_CREATORS = BUILDERS | {"service_admin", "key:management"}
SIMULATORS = BUILDERS | STAFF | {"key:management"}
PROJECT_CHANGERS = frozenset({"developer", "owner", "service_admin", "key:management"})

PROMPT_WRITERS = frozenset({"developer", "scientist", "owner", "service_admin"})
PROMPT_SLUGS = {"claims": "sorting", "lending": "weighing"}

PLAN_DATASET = "planned"

T = TypeVar("T")
World = Any  # tests.test_isolation.World: what the cast has, own and foreign
Which = str  # "own", "foreign" or "missing"


@dataclass(frozen=True)
class Target:
    """The route's arguments for an object of one's own tenant, of another, and for none."""

    arguments: Callable[[World, Which], dict[str, Any]]
    platform: bool = False  # an object of the platform's: there is no foreign one
    placed: bool = False  # looked for in the place where one works: even the platform's staff find none elsewhere


@dataclass(frozen=True)
class Act:
    roles: frozenset[str]
    body: Callable[[World, Which], dict[str, Any]] | None = None
    refers: bool = False  # the body names an object: own, foreign or missing
    audited: bool = True  # a page's act that leaves an entry in the audit trail
    conflicts: bool = False  # whoever is let in learns (409) that it cannot be done to this object


@dataclass(frozen=True)
class Row:
    is_api: bool
    target: Target | None
    acts: Mapping[str, Act]
    hidden: frozenset[str] = field(default_factory=frozenset)
    absent: frozenset[int] = frozenset({404})  # how what does not exist is answered


def _row(is_api: bool, target: Target | None, hidden: frozenset[str], acts: dict[str, Any]) -> Row:
    return Row(is_api, target, {name: act if isinstance(act, Act) else Act(act) for name, act in acts.items()}, hidden)


def api(target: Target | None = None, *, hidden: frozenset[str] = NOBODY, **acts: frozenset[str] | Act) -> Row:
    return _row(True, target, hidden, acts)


def page(target: Target | None = None, *, hidden: frozenset[str] = NOBODY, **acts: frozenset[str] | Act) -> Row:
    return _row(False, target, hidden, acts)


def to(roles: frozenset[str], body: dict[str, Any] | Callable[[World, Which], dict[str, Any]]) -> Act:
    """With a body; a function of (world, which) makes one that refers to something."""
    if callable(body):
        return Act(roles, body, refers=True)
    return Act(roles, lambda world, which: body)


def _quiet(roles: frozenset[str], body: dict[str, Any]) -> Act:
    """An act that leaves no entry in the audit trail."""
    return Act(roles, lambda world, which: body, audited=False)


def _pick(which: Which, own: T, foreign: T, missing: T) -> T:
    return {"own": own, "foreign": foreign, "missing": missing}[which]


def _tenant(which: Which) -> str:
    return _pick(which, "claims", "lending", "nowhere")


def _project(which: Which) -> dict[str, str]:
    tenant, project = _pick(which, ("claims", "triage"), ("lending", "loans"), ("nowhere", "loans"))
    return {"tenant": tenant, "project": project}


def _by(name: str, kind: str, missing: Any) -> Target:
    """Arguments ``{name: …}`` from the world's ``own`` and ``foreign`` objects of ``kind``."""
    return Target(lambda world, which: {name: _pick(which, world.own.get(kind), world.foreign.get(kind), missing)})


TENANT = Target(lambda world, which: {"tenant": _tenant(which)})
PROJECT = Target(lambda world, which: _project(which))
MEMBER = Target(
    lambda world, which: {
        "tenant": _tenant(which),
        "user": _pick(which, world.own["member"], world.foreign["member"], 999_999),
    }
)
MEMBER_OF_PLACE = Target(_by("user", "member", 999_999).arguments, placed=True)
KEY = _by("prefix", "key", "aaaaaaaaaa")
LIMIT, LIMIT_PK = _by("id", "limit", 999_999), _by("pk", "limit", 999_999)
BUDGET, BUDGET_PK = _by("id", "budget", 999_999), _by("pk", "budget", 999_999)
GRANT = _by("id", "grant", 999_999)
ROUTE, ROUTE_PK = _by("id", "route", 999_999), _by("pk", "route", 999_999)
GUARDED, GUARDED_PK = _by("id", "guarded", 999_999), _by("pk", "guarded", 999_999)
REVISION = Target(lambda world, which: {**ROUTE.arguments(world, which), "number": 1})
REVISION_PK = Target(lambda world, which: {**ROUTE_PK.arguments(world, which), "number": 1})
PROMPT = Target(
    lambda world, which: {"tenant": _tenant(which), "prompt": _pick(which, "sorting", "weighing", "weighing")}
)
PROMPT_VERSION = Target(lambda world, which: {**PROMPT.arguments(world, which), "number": 2})
PROMPT_RELEASE = Target(
    lambda world, which: {
        **PROMPT.arguments(world, which),
        "pk": _pick(which, world.own["release"], world.foreign["release"], 999_999),
    }
)
PROMPT_RELEASE_ID = Target(
    lambda world, which: {
        **PROMPT.arguments(world, which),
        "id": _pick(which, world.own["release"], world.foreign["release"], 999_999),
    }
)
# What one tenant has published is for all of them: there is no foreign one.
PUBLICATION = Target(
    lambda world, which: {"pk": world.own["publication"] if which == "own" else 999_999}, platform=True
)
PUBLICATION_ID = Target(
    lambda world, which: {"id": world.own["publication"] if which == "own" else 999_999}, platform=True
)
SAID = {"messages": [{"role": "user", "content": "Sort anew."}]}
DATASET = Target(lambda world, which: {"tenant": _tenant(which), "dataset": _pick(which, "golden", "silver", "silver")})
DATASET_VERSION = Target(lambda world, which: {**DATASET.arguments(world, which), "number": 1})


def _of_dataset(name: str, kind: str) -> Target:
    thing = _by(name, kind, 999_999)
    return Target(lambda world, which: {**DATASET.arguments(world, which), **thing.arguments(world, which)})


DATASET_EXAMPLE, DATASET_EXAMPLE_ID = _of_dataset("pk", "golden_example"), _of_dataset("id", "golden_example")
UPLOAD, UPLOAD_ID = _of_dataset("pk", "upload"), _of_dataset("id", "upload")
INBOX_ITEM = Target(_by("pk", "inbox_item", 999_999).arguments, placed=True)


def _csv(world: World, which: Which) -> dict[str, Any]:
    return {"file": SimpleUploadedFile("new.csv", b"claim,answer\nHail,home\n", "text/csv")}


AUDIT = _by("sequence", "audit", 999_999)
REQUEST, REQUEST_ID = _by("id", "request", "0" * 32), _by("request_id", "request", "0" * 32)
# What is proposed is for the platform's staff: to tenants it is as if there were none.
MODEL, MODEL_SLUG = _by("model", "model", "acme/nope:1b"), _by("slug", "model", "acme/nope:1b")
CONVERSATION = Target(_by("public_id", "conversation", "nosuchconversat").arguments, placed=True)
SHARED = Target(_by("token", "share_token", "nosuchtoken").arguments, placed=True)
ANSWER_OF_PLACE = Target(_by("pk", "answer", 999_999).arguments, placed=True)
EXAMPLE = Target(_by("public_id", "example", "nosuchexample").arguments, placed=True)
FEEDBACK = Target(_by("pk", "feedback", 999_999).arguments, placed=True)
ANSWER = _by("pk", "answer", 999_999)
BLIND_TURN = _by("pk", "blind_turn", 999_999)
PROVIDER = Target(lambda world, which: {"provider": _pick(which, "upstream", "nowhere", "nowhere")}, platform=True)
ENDPOINT = Target(lambda world, which: {"id": _pick(which, world.own["endpoint"], 999_999, 999_999)}, platform=True)

MODEL_OF_STAFF = Target(
    lambda world, which: {"slug": _pick(which, world.own["model"], "acme/nope:1b", "acme/nope:1b")}, platform=True
)

RATERS = MEMBERS - {"service_engineer"}
TRIAGERS = frozenset({"scientist", "owner"}) | STAFF
RATING_SETTERS = frozenset({"scientist", "owner", "service_admin"})  # who triage, and edit datasets
# A conversation that is not shared is its owner's alone, whatever anybody's role.
OWNER = frozenset({"owner"})
NOT_MINE = MEMBERS - {"owner"}
NO_MEMBERS = frozenset({"key:reading", "key:management"})  # a key knows its project, not the people
NO_KEYS = frozenset({"viewer", "reviewer"})
ONLY_ADMINS = frozenset({"viewer", "reviewer", "developer", "scientist", "key:reading", "key:management"})

API: dict[str, Row] = {
    "api:me": api(GET=READERS),
    "api:tenant-list": api(GET=READERS, POST=to(SERVICE_ADMIN, {"slug": "new", "name": "New"})),
    "api:tenant-detail": api(TENANT, GET=READERS, PATCH=to(ADMINS, {"cost_center": "CC-1"})),
    "api:rating-sets": api(TENANT, GET=RATING_SETTERS, POST=to(RATING_SETTERS, {"kind": "thumbs"})),
    "api:tenant-suspend": api(TENANT, POST=to(SERVICE_ADMIN, {"reason": "unpaid"})),
    "api:tenant-reactivate": api(TENANT, POST=to(SERVICE_ADMIN, {})),
    "api:tenant-offboard": api(TENANT, POST=to(SERVICE_ADMIN, {})),
    "api:project-list": api(
        GET=READERS,
        POST=to(ADMINS, lambda world, which: {"tenant": _tenant(which), "slug": "new", "name": "New"}),
    ),
    "api:project-detail": api(PROJECT, GET=READERS, PATCH=to(PROJECT_CHANGERS, {"description": "Other."})),
    "api:project-archive": api(PROJECT, POST=to(ADMINS, {})),
    "api:project-restore": api(PROJECT, POST=to(ADMINS, {})),
    "api:member-list": api(
        GET=READERS,
        POST=to(
            ADMINS,
            lambda world, which: {"tenant": _tenant(which), "email": "new@example.com", "role": "viewer"},
        ),
    ),
    "api:member-detail": api(
        MEMBER, hidden=NO_MEMBERS, GET=MEMBERS, PATCH=to(ADMINS, {"role": "reviewer"}), DELETE=ADMINS
    ),
    "api:key-list": api(
        GET=KEY_READERS,
        POST=to(
            KEY_CREATORS,
            lambda world, which: {
                "project": "{tenant}/{project}".format(**_project(which)),
                "name": "new",
                "scopes": ["management:read"],
            },
        ),
    ),
    "api:key-detail": api(KEY, hidden=NO_KEYS, GET=KEY_READERS),
    "api:key-revoke": api(KEY, hidden=NO_KEYS, POST=to(ADMINS | {"key:management"}, {})),
    # The key rotated may call models, the management key may not: no key gives what it has not.
    "api:key-rotate": api(KEY, hidden=NO_KEYS, POST=to(ADMINS, {})),
    "api:limit-list": api(
        GET=READERS,
        POST=to(
            ADMINS_AND_ENGINEERS, lambda world, which: {"tenant": _tenant(which), "metric": "requests", "limit": 5}
        ),
    ),
    "api:limit-detail": api(
        LIMIT, GET=READERS, PATCH=to(ADMINS_AND_ENGINEERS, {"limit": 7}), DELETE=ADMINS_AND_ENGINEERS
    ),
    "api:budget-list": api(
        GET=READERS, POST=to(ADMINS, lambda world, which: {"tenant": _tenant(which), "amount_usd": "5"})
    ),
    "api:budget-detail": api(BUDGET, GET=READERS, PATCH=to(ADMINS, {"amount_usd": "7"}), DELETE=ADMINS),
    "api:audit-list": api(GET=ADMINS_AND_ENGINEERS),
    "api:audit-detail": api(AUDIT, hidden=ONLY_ADMINS, GET=ADMINS_AND_ENGINEERS),
    "api:provider-list": api(
        GET=STAFF, POST=to(STAFF, {"slug": "new", "name": "New", "base_url": "https://192.0.43.7/v1"})
    ),
    "api:provider-detail": api(PROVIDER, GET=STAFF, PATCH=to(STAFF, {"name": "Other"})),
    "api:provider-credential": api(PROVIDER, PUT=to(STAFF, {"secret": "sk-isolation-0123456789"})),
    "api:provider-test": api(PROVIDER, POST=to(STAFF, {})),
    "api:provider-models": api(PROVIDER, GET=STAFF, POST=to(STAFF, {"models": ["writer-9b"]})),
    "api:provider-enable": api(PROVIDER, POST=to(STAFF, {})),
    "api:provider-disable": api(PROVIDER, POST=to(STAFF, {})),
    "api:endpoint-list": api(
        GET=STAFF,
        POST=to(STAFF, {"model": "acme/writer:8b", "provider": "upstream", "upstream_model": "writer-9b"}),
    ),
    "api:endpoint-detail": api(ENDPOINT, GET=STAFF, PATCH=to(STAFF, {"priority": 3})),
    "api:endpoint-enable": api(ENDPOINT, POST=to(STAFF, {})),
    "api:endpoint-disable": api(ENDPOINT, POST=to(STAFF, {})),
    "api:model-list": api(GET=READERS, POST=to(STAFF, {"slug": "new", "name": "New"})),
    "api:model-detail": api(MODEL, GET=READERS, PATCH=to(STAFF, {"publisher": "Acme"})),
    "api:price-list": api(
        GET=STAFF,
        POST=to(STAFF, {"model": "acme/writer:8b", "input_usd_per_mtok": "1", "output_usd_per_mtok": "2"}),
    ),
    "api:grant-list": api(
        GET=READERS,
        POST=to(STAFF, lambda world, which: {"tenant": _tenant(which), "model": "acme/writer:8b"}),
    ),
    "api:grant-detail": api(GRANT, GET=READERS, DELETE=STAFF),
    "api:licence-accept": api(
        POST=to(ADMINS, lambda world, which: {"tenant": _tenant(which), "model": "acme/writer:8b"})
    ),
    "api:usage-summary": api(GET=READERS),
    "api:usage-series": api(GET=READERS),
    "api:request-list": api(GET=KEY_READERS),
    "api:request-detail": api(REQUEST, hidden=NO_KEYS, GET=KEY_READERS),
    "api:route-list": api(
        GET=READERS,
        POST=to(ADMINS_AND_ENGINEERS, lambda world, which: {"tenant": _tenant(which), "slug": "new", "name": "New"}),
    ),
    "api:route-simulate": api(ROUTE, POST=to(SIMULATORS, {"project": "claims/triage"})),
    "api:route-detail": api(
        ROUTE, GET=READERS, PATCH=to(ADMINS_AND_ENGINEERS, {"name": "Other"}), DELETE=ADMINS_AND_ENGINEERS
    ),
    "api:route-revision-list": api(ROUTE, GET=READERS, POST=to(ADMINS_AND_ENGINEERS, {"strategy": "latency"})),
    "api:route-revision-detail": api(REVISION, GET=READERS),
    "api:route-revision-put": api(REVISION, POST=to(ADMINS_AND_ENGINEERS, {"reason": "It was better."})),
}

_RUN_SERVICE = frozenset({"developer", "scientist", "owner", "service_admin"})
_RUN, _PAUSED, _ENDED = _by("id", "run", "nosuchrun"), _by("id", "paused", "nosuchrun"), _by("id", "ended", "nosuchrun")
_RUN_PAGE = _by("run", "run", "nosuchrun")
_SWEEP, _SWEEP_PAGE = _by("id", "sweep", "nosuchsweep"), _by("sweep", "sweep", "nosuchsweep")
_ITEM = Target(
    lambda world, which: {
        **_RUN_PAGE.arguments(world, which),
        "pk": _pick(which, world.own["item"], world.foreign["item"], 999_999),
    }
)
_SCORER = Target(lambda world, which: {"tenant": _tenant(which), "scorer": _pick(which, "judge", "other", "other")})


def _new_run(world: World, which: Which) -> dict[str, Any]:
    dataset = _pick(which, "golden-own", f"golden-{CANARY}", "golden-none")
    scorers = [{"scorer": _pick(which, "exact", "exact", "none")}]
    return {**_project(which), "dataset": dataset, "scorers": scorers, "model": "acme/open:1b"}


def _new_sweep(world: World, which: Which) -> dict[str, Any]:
    return _new_run(world, which) | {"parameter_values": {"temperature": [0, 1]}}


def _run_form(world: World, which: Which) -> dict[str, Any]:
    return {
        "dataset_version": "golden-own@1",
        "scorers": world.own["scorer_version"],
        "model": "acme/open:1b",
        "project": "triage",
        "repetitions": 1,
    }


_MONITOR_ALERT = Target(
    lambda world, which: {
        "tenant": _tenant(which),
        "monitor": "quality",
        "id": _pick(which, world.own["monitor_alert"], world.foreign["monitor_alert"], 999_999),
    }
)
_MONITOR_ALERT_PAGE = Target(
    lambda world, which: {
        "tenant": _tenant(which),
        "monitor": "quality",
        "pk": _pick(which, world.own["monitor_alert"], world.foreign["monitor_alert"], 999_999),
    }
)
_ATTACKED = _by("id", "attacked", "nosuchrun")
_ATTACKED_PAGE = _by("run", "attacked", "nosuchrun")
_ATTACKS = {"model": "acme/open:1b", "categories": ["prompt-injection"], "size": "small"}

_ATTACK_FORM = _ATTACKS | {"categories": "prompt-injection", "project": "triage", "seed": 1}


def _new_attacks(world: World, which: Which) -> dict[str, Any]:
    return _ATTACKS | _project(which)


_MONITOR = Target(lambda world, which: {"tenant": _tenant(which), "monitor": "quality"})
_WATCHING = {
    "name": "New",
    "scorers": ["watching"],
    "model": "acme/open:1b",
    "baseline_since": "2026-01-01T00:00:00Z",
    "baseline_until": "2026-01-02T00:00:00Z",
}


_WATCHING_FORM = {
    "name": "New",
    "scorers": "watching",
    "environment": "prod",
    "label": "live",
    "model": "acme/open:1b",
    "project": "triage",
    "window_minutes": "60",
    "sample_size": "50",
    "minimum_sample": "20",
    "baseline": "period",
    "baseline_since": "2026-01-01T00:00",
    "baseline_until": "2026-01-02T00:00",
    "chart": "shewhart",
    "sigmas": "3",
}


def _new_monitor(world: World, which: Which) -> dict[str, Any]:
    return _WATCHING | _project(which)


_API_WRITERS = PROMPT_WRITERS | {"key:management"}
_API_RUNNERS = _RUN_SERVICE | {"key:management"}
API |= {
    "api:evaluation-list": api(GET=READERS, POST=to(BUILDERS | {"key:management"}, _new_run)),
    "api:evaluation-estimate": api(POST=to(_API_RUNNERS, _new_run)),
    "api:sweep-list": api(POST=to(BUILDERS | {"key:management"}, _new_sweep)),
    "api:sweep-detail": api(_SWEEP, GET=READERS),
    "api:evaluation-detail": api(_RUN, GET=READERS),
    "api:evaluation-item-list": api(_RUN, GET=READERS),
    "api:evaluation-pause": api(_RUN, POST=to(_API_RUNNERS, {})),
    "api:evaluation-resume": api(_PAUSED, POST=to(_API_RUNNERS, {})),
    "api:evaluation-cancel": api(_RUN, POST=to(_API_RUNNERS, {})),
    "api:evaluation-retry": api(_ENDED, POST=to(_API_RUNNERS, {})),
    "api:red-team": api(POST=to(BUILDERS | {"key:management"}, _new_attacks)),
    "api:red-team-estimate": api(POST=to(_API_RUNNERS, _new_attacks)),
    "api:red-team-report": api(_ATTACKED, GET=READERS),
    "api:red-team-findings": api(_ATTACKED, POST=to(_API_RUNNERS, {})),
    "api:monitor-list": api(GET=READERS, POST=to(PROMPT_WRITERS, _new_monitor)),
    "api:monitor-detail": api(
        _MONITOR,
        GET=READERS,
        PUT=Act(PROMPT_WRITERS, lambda world, which: _WATCHING | {"project": _project(which)["project"]}),
        DELETE=PROMPT_WRITERS,
    ),
    "api:monitor-pause": api(_MONITOR, POST=to(PROMPT_WRITERS, {})),
    "api:monitor-resume": api(_MONITOR, POST=to(PROMPT_WRITERS, {})),
    "api:monitor-acknowledge": api(_MONITOR, POST=to(PROMPT_WRITERS, {})),
    "api:monitor-alert-retry": api(_MONITOR_ALERT, POST=to(PROMPT_WRITERS, {})),
    "api:monitor-secret": api(_MONITOR, POST=to(PROMPT_WRITERS, {})),
    "api:monitor-check-list": api(_MONITOR, GET=READERS, POST=to(PROMPT_WRITERS, {})),
    "api:scorer-list": api(
        GET=READERS,
        POST=to(_API_RUNNERS, lambda world, which: {"tenant": _tenant(which), "kind": "contains"}),
    ),
    "api:scorer-detail": api(_SCORER, GET=READERS, PATCH=to(_API_RUNNERS, {"name": "Other"})),
}
API |= {
    "api:prompt-list": api(
        GET=READERS,
        POST=to(_API_WRITERS, lambda world, which: {"tenant": _tenant(which), "slug": "new", "name": "New"}),
    ),
    "api:prompt-detail": api(PROMPT, GET=READERS, PATCH=to(_API_WRITERS, {"name": "Other"})),
    "api:prompt-archive": api(PROMPT, POST=to(_API_WRITERS, {})),
    "api:prompt-restore": api(PROMPT, POST=to(_API_WRITERS, {})),
    "api:prompt-version-list": api(PROMPT, GET=READERS, POST=to(_API_WRITERS, SAID)),
    "api:prompt-version-detail": api(PROMPT_VERSION, GET=READERS),
    "api:prompt-version-fork": api(
        PROMPT_VERSION, POST=to(_API_WRITERS, {"tenant": "claims", "slug": "fork", "name": "Fork"})
    ),
    "api:prompt-version-publication": api(
        replace(PROMPT_VERSION, arguments=lambda world, which: {**PROMPT.arguments(world, which), "number": 1}),
        PUT=to(ADMINS, {"note": "x"}),
        DELETE=ADMINS,
    ),
    "api:prompt-release-list": api(
        PROMPT, GET=READERS, POST=to(_API_WRITERS, {"environment": "test", "versions": [{"version": 1}]})
    ),
    "api:prompt-roll-back": api(PROMPT_RELEASE_ID, POST=to(_API_WRITERS, {})),
    "api:published-prompt-list": api(GET=READERS),
    "api:published-prompt-fork": api(
        PUBLICATION_ID, POST=to(_API_WRITERS, {"tenant": "claims", "slug": "fork", "name": "Fork"})
    ),
}

GATE, GATE_ID = _by("pk", "gate", 999_999), _by("id", "gate", 999_999)
CANARY_GATE, CANARY_GATE_ID = _by("pk", "canary", 999_999), _by("id", "canary", 999_999)
COMPARISON = _by("id", "comparison", 999_999)
_PLAN = {"dataset": PLAN_DATASET, "metrics": [{"scorer": "exact-match"}], "minimum_pairs": 9}
_PLAN_FORM = {
    "dataset": PLAN_DATASET, "split": "test", "environment": "test", "label": "live",
    "policy": "advice", "approvals_needed": "1", "canary_percent": "100", "repetitions": "1", "alpha": "0.05",
    "minimum_pairs": "9", "scorer": "exact-match", "role": "primary", "margin": "0",
}  # fmt: skip


def _planned(body: dict[str, Any]) -> Callable[[World, Which], dict[str, Any]]:
    return lambda world, which: body | {"project": _project(which)["project"]}


def _pair(world: World, which: Which) -> dict[str, Any]:
    return {
        side: _pick(which, world.own.get(kind), world.foreign.get(kind), "nosuchrun")
        for side, kind in (("baseline", "run"), ("candidate", "candidate"))
    }


API |= {
    # A key decides nothing, and does not set the plan that its versions have to pass.
    "api:prompt-plan": api(PROMPT, GET=READERS, PUT=to(PROMPT_WRITERS, _planned(_PLAN)), DELETE=PROMPT_WRITERS),
    "api:route-plan": api(GUARDED, GET=READERS, PUT=to(PROMPT_WRITERS, _planned(_PLAN)), DELETE=PROMPT_WRITERS),
    "api:gate-list": api(
        GET=READERS,
        POST=to(
            _API_WRITERS,
            lambda world, which: {
                "tenant": _tenant(which),
                "prompt": _pick(which, "sorting", "weighing", "weighing"),
                "version": 2,
            },
        ),
    ),
    "api:gate-detail": api(GATE_ID, GET=READERS),
    "api:gate-approve": api(GATE_ID, POST=to(PROMPT_WRITERS, {"note": "Good."})),
    "api:gate-refuse": api(GATE_ID, POST=to(PROMPT_WRITERS, {"note": "Bad."})),
    "api:gate-override": api(GATE_ID, POST=to(ADMINS, {"reason": "The law asks for it."})),
    "api:gate-widen": api(CANARY_GATE_ID, POST=to(_API_WRITERS, {"percent": 100})),
    "api:comparison-list": api(POST=Act(_API_WRITERS, _pair, refers=True)),
    "api:comparison-detail": api(COMPARISON, GET=READERS),
}
SIGNERS = PROMPT_WRITERS | {"reviewer"}
_EXAMPLE = {"input": {"claim": "Rain"}, "expected": "home"}
API |= {
    "api:dataset-list": api(
        GET=READERS,
        POST=to(_API_WRITERS, lambda world, which: {"tenant": _tenant(which), "slug": "new", "name": "New"}),
    ),
    "api:inbox-offer": api(
        POST=Act(
            MEMBERS - {"service_engineer"} | {"key:management"},
            lambda world, which: {"tenant": _tenant(which), "source": "request", "input": {"claim": "Lost"}},
            audited=False,
        )
    ),
    "api:dataset-detail": api(
        DATASET, GET=READERS, PATCH=to(_API_WRITERS, {"name": "Other"}), DELETE=Act(_API_WRITERS, conflicts=True)
    ),
    "api:dataset-archive": api(DATASET, POST=to(_API_WRITERS, {})),
    "api:dataset-restore": api(DATASET, POST=to(_API_WRITERS, {})),
    "api:example-list": api(DATASET, GET=READERS, POST=to(_API_WRITERS, _EXAMPLE)),
    "api:example-detail": api(
        DATASET_EXAMPLE_ID, GET=READERS, PUT=to(_API_WRITERS, _EXAMPLE), DELETE=to(_API_WRITERS, {})
    ),
    "api:dataset-version-list": api(DATASET, GET=READERS, POST=to(_API_WRITERS, {"message": "x"})),
    "api:dataset-version-detail": api(DATASET_VERSION, GET=READERS),
    # A sign-off is a person's word: no key gives it.
    "api:dataset-version-sign-off": api(DATASET_VERSION, POST=to(SIGNERS, {"is_approval": True})),
    "api:dataset-version-changes": api(DATASET_VERSION, GET=READERS),
    "api:dataset-version-export": api(DATASET_VERSION, GET=READERS),
    "api:upload-list": api(DATASET, GET=READERS, POST=Act(_API_WRITERS, _csv)),
    "api:upload-detail": api(UPLOAD_ID, GET=READERS),
    "api:upload-import": api(UPLOAD_ID, POST=to(_API_WRITERS, {})),
    "api:upload-cancel": api(UPLOAD_ID, POST=to(_API_WRITERS, {})),
}

_DRAFT = {"role": "user", "content": "Sort anew."}

PAGES: dict[str, Row] = {
    "evaluation:dataset-list": page(GET=MEMBERS),
    "evaluation:dataset-create": page(GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, {"name": "New", "slug": "new"})),
    "evaluation:dataset-detail": page(DATASET, GET=MEMBERS),
    "evaluation:dataset-edit": page(DATASET, GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, {"name": "Other"})),
    "evaluation:dataset-archive": page(DATASET, POST=PROMPT_WRITERS),
    "evaluation:example-create": page(
        DATASET, GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, {"value_claim": "Rain", "expected": "home"})
    ),
    "evaluation:example-detail": page(
        DATASET_EXAMPLE, GET=MEMBERS, POST=to(PROMPT_WRITERS, {"value_claim": "Rain", "expected": "house"})
    ),
    "evaluation:example-remove": page(DATASET_EXAMPLE, POST=PROMPT_WRITERS),
    "evaluation:dataset-version-list": page(DATASET, GET=MEMBERS),
    "evaluation:dataset-version-freeze": page(DATASET, POST=to(PROMPT_WRITERS, {"message": "More"})),
    "evaluation:dataset-version": page(DATASET_VERSION, GET=MEMBERS),
    "evaluation:dataset-version-sign": page(DATASET_VERSION, POST=to(SIGNERS, {"word": "sign"})),
    "evaluation:dataset-version-export": page(DATASET_VERSION, GET=MEMBERS),
    "evaluation:upload-list": page(DATASET, GET=MEMBERS),
    "evaluation:upload-create": page(DATASET, POST=Act(PROMPT_WRITERS, _csv)),
    "evaluation:upload-detail": page(UPLOAD, GET=MEMBERS),
    "evaluation:upload-progress": page(UPLOAD, GET=MEMBERS),
    "evaluation:upload-import": page(UPLOAD, POST=to(PROMPT_WRITERS, {"part_0": "input:claim"})),
    "evaluation:upload-cancel": page(UPLOAD, POST=PROMPT_WRITERS),
    "evaluation:inbox": page(GET=MEMBERS),
    "evaluation:inbox-failed": page(POST=Act(RATERS, lambda world, which: {}, audited=False)),
    "evaluation:inbox-decide": page(
        POST=Act(
            PROMPT_WRITERS,
            lambda world, which: {
                "items": _pick(which, world.own, world.foreign, {}).get("inbox_item", 999_999),
                "dismiss": 1,
            },
        )
    ),
    "evaluation:inbox-item": page(
        INBOX_ITEM, GET=MEMBERS, POST=to(PROMPT_WRITERS, {"value_claim": "Rain", "expected": "home"})
    ),
    "prompts:list": page(GET=MEMBERS),
    "prompts:create": page(GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, {"name": "New", "slug": "new"})),
    "prompts:preview": page(POST=Act(MEMBERS, lambda world, which: _DRAFT, audited=False)),
    "prompts:shared-list": page(GET=MEMBERS),
    "prompts:shared-detail": page(PUBLICATION, GET=MEMBERS),
    "prompts:shared-fork": page(PUBLICATION, POST=to(PROMPT_WRITERS, {"name": "Fork", "slug": "fork"})),
    "prompts:detail": page(PROMPT, GET=MEMBERS),
    "prompts:edit": page(PROMPT, GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, {"name": "Other"})),
    "prompts:archive": page(PROMPT, POST=PROMPT_WRITERS),
    "prompts:version-create": page(PROMPT, GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, _DRAFT)),
    "prompts:version-detail": page(PROMPT_VERSION, GET=MEMBERS),
    "prompts:version-publish": page(PROMPT_VERSION, POST=to(ADMINS, {"note": "Good"})),
    "prompts:version-fork": page(PROMPT_VERSION, POST=to(PROMPT_WRITERS, {"name": "Fork", "slug": "fork"})),
    "prompts:compare": page(PROMPT, GET=MEMBERS),
    "prompts:release-create": page(
        PROMPT, POST=to(PROMPT_WRITERS, {"environment": "test", "label": "live", "version_1": "100"})
    ),
    "prompts:release-list": page(PROMPT, GET=MEMBERS),
    "prompts:release-roll-back": page(PROMPT_RELEASE, POST=PROMPT_WRITERS),
    "prompts:label-withdraw": page(PROMPT, POST=to(PROMPT_WRITERS, {"environment": "dev", "label": "live"})),
    "gateway:prompt-traffic": page(PROMPT, GET=MEMBERS),
    "evaluation:plan": page(PROMPT, GET=MEMBERS, POST=to(PROMPT_WRITERS, _planned(_PLAN_FORM))),
    "evaluation:plan-remove": page(PROMPT, POST=PROMPT_WRITERS),
    "evaluation:prompt-gates": page(PROMPT, GET=MEMBERS),
    "evaluation:version-review": page(PROMPT_VERSION, GET=MEMBERS),
    "evaluation:route-plan": page(GUARDED_PK, GET=MEMBERS, POST=to(PROMPT_WRITERS, _planned(_PLAN_FORM))),
    "evaluation:route-plan-remove": page(GUARDED_PK, POST=PROMPT_WRITERS),
    "evaluation:route-gates": page(ROUTE_PK, GET=MEMBERS),
    "evaluation:revision-review": page(REVISION_PK, GET=MEMBERS),
    "evaluation:revision-gate-open": page(REVISION_PK, POST=_quiet(PROMPT_WRITERS, {})),
    "evaluation:gate-open": page(PROMPT_VERSION, POST=_quiet(PROMPT_WRITERS, {})),
    "evaluation:gate-answer": page(GATE, POST=to(PROMPT_WRITERS, {"note": "Good."})),
    "evaluation:gate-override": page(GATE, POST=to(ADMINS, {"reason": "The law asks for it."})),
    "evaluation:gate-widen": page(CANARY_GATE, POST=to(PROMPT_WRITERS, {"percent": "100"})),
    "evaluation:compare": page(GET=NOBODY),
    "evaluation:weigh": page(POST=Act(PROMPT_WRITERS, _pair, refers=True, audited=False)),
    "evaluation:run-list": page(GET=MEMBERS),
    "evaluation:run-create": page(GET=BUILDERS, POST=Act(BUILDERS, _run_form)),
    "evaluation:run-estimate": page(POST=Act(_RUN_SERVICE, _run_form, audited=False)),
    "evaluation:run-detail": page(_RUN_PAGE, GET=MEMBERS),
    "evaluation:sweep-detail": page(_SWEEP_PAGE, GET=MEMBERS),
    "evaluation:run-progress": page(_RUN_PAGE, GET=MEMBERS),
    "evaluation:run-item": page(_ITEM, GET=MEMBERS),
    "evaluation:red-team-list": page(GET=MEMBERS),
    "evaluation:red-team-create": page(GET=BUILDERS, POST=to(BUILDERS, _ATTACK_FORM)),
    "evaluation:red-team-estimate": page(POST=Act(_RUN_SERVICE, lambda world, which: _ATTACK_FORM, audited=False)),
    "evaluation:red-team-report": page(_ATTACKED_PAGE, GET=MEMBERS),
    "evaluation:red-team-export": page(_ATTACKED_PAGE, GET=MEMBERS),
    "evaluation:red-team-findings": page(_ATTACKED_PAGE, POST=_RUN_SERVICE),
    "evaluation:run-offer": page(_RUN_PAGE, POST=_quiet(RATERS, {})),
    "evaluation:run-act": page(_RUN_PAGE, POST=to(_RUN_SERVICE, {"act": "pause"})),
    "evaluation:scorer-list": page(GET=MEMBERS),
    "evaluation:scorer-create": page(GET=_RUN_SERVICE, POST=to(_RUN_SERVICE, {"kind": "chrf"})),
    "evaluation:scorer-defaults": page(POST=_RUN_SERVICE),
    "evaluation:scorer-detail": page(
        _SCORER,
        GET=MEMBERS,
        POST=Act(
            _RUN_SERVICE,
            lambda world, which: {"name": "Other", "parameter-model": "m-own" if which == "own" else f"m-{CANARY}"},
        ),
    ),
    "evaluation:scorer-archive": page(_SCORER, POST=_RUN_SERVICE),
    "evaluation:judge-calibrate": page(_SCORER, POST=to(ADMINS, {"reason": "Read by three of us, and found right."})),
    "evaluation:prompt-monitors": page(PROMPT, GET=MEMBERS),
    "evaluation:monitor-list": page(GET=MEMBERS),
    "evaluation:monitor-create": page(GET=PROMPT_WRITERS, POST=to(PROMPT_WRITERS, _WATCHING_FORM)),
    "evaluation:monitor-detail": page(_MONITOR, GET=MEMBERS),
    "evaluation:monitor-progress": page(_MONITOR, GET=MEMBERS),
    "evaluation:monitor-edit": page(
        _MONITOR,
        GET=PROMPT_WRITERS,
        POST=Act(PROMPT_WRITERS, lambda world, which: _WATCHING_FORM | {"project": _project(which)["project"]}),
    ),
    "evaluation:monitor-act": page(_MONITOR, POST=to(PROMPT_WRITERS, {"act": "pause"})),
    "evaluation:monitor-delete": page(_MONITOR, POST=PROMPT_WRITERS),
    "evaluation:monitor-secret": page(_MONITOR, POST=PROMPT_WRITERS),
    "evaluation:monitor-alert-retry": page(_MONITOR_ALERT_PAGE, POST=PROMPT_WRITERS),
    # MLflow's pages are every tenant's at once: for the platform's staff alone.
    "mlflow": page(GET=STAFF),
    "mlflow-path": page(
        Target(lambda world, which: {"path": _pick(which, "health", "nowhere", "nowhere")}, platform=True), GET=STAFF
    ),
    "portal:switch": page(
        POST=Act(MEMBERS, lambda world, which: {"tenant": _tenant(which), "project": ""}, refers=True, audited=False)
    ),
    "portal:styleguide": page(GET=STAFF),
    "portal:home": page(GET=MEMBERS),
    "portal:home-live": page(GET=MEMBERS),
    "portal:search": page(GET=MEMBERS),
    "gateway:usage": page(GET=MEMBERS),
    "gateway:model-speed": page(MODEL_SLUG, GET=MEMBERS),
    "gateway:route-list": page(GET=MEMBERS),
    "gateway:route-create": page(
        GET=ADMINS_AND_ENGINEERS,
        POST=to(
            ADMINS_AND_ENGINEERS,
            {"scope": "tenant", "slug": "new", "name": "New", "strategy": "priority", "shadow_percent": "0"},
        ),
    ),
    "gateway:route-detail": page(ROUTE_PK, GET=MEMBERS),
    "gateway:route-edit": page(
        ROUTE_PK,
        GET=ADMINS_AND_ENGINEERS,
        POST=to(ADMINS_AND_ENGINEERS, {"name": "Other", "strategy": "cost", "shadow_percent": "0"}),
    ),
    "gateway:route-revision-put": page(REVISION_PK, POST=ADMINS_AND_ENGINEERS),
    "gateway:route-simulate": page(ROUTE_PK, POST=Act(BUILDERS_AND_STAFF, audited=False)),
    "gateway:health": page(GET=STAFF),
    "gateway:route-delete": page(ROUTE_PK, POST=ADMINS_AND_ENGINEERS),
    "gateway:request-list": page(GET=BUILDERS_AND_STAFF),
    "gateway:request-detail": page(REQUEST_ID, hidden=NO_KEYS, GET=BUILDERS_AND_STAFF),
    "playground:index": page(GET=MEMBERS),
    "playground:models": page(GET=MEMBERS),
    "playground:prompt": page(
        Target(lambda world, which: {"slug": _pick(which, "sorting", "weighing", "no-such-prompt")}, placed=True),
        GET=MEMBERS,
    ),
    "playground:budget": page(GET=MEMBERS),
    "playground:highlight": page(POST=_quiet(MEMBERS, {"blocks": '[["python", "x = 1"]]'})),
    "playground:draft-code": page(POST=_quiet(MEMBERS, {"request": '{"column": {"model": "m"}, "message": "Hi"}'})),
    # A file of the shared conversation.
    "playground:attachment": page(_by("pk", "file", 999_999), GET=MEMBERS),
    "playground:conversation-data": page(CONVERSATION, hidden=NOT_MINE, GET=OWNER),
    "playground:conversation-list": page(GET=MEMBERS),
    "playground:conversation-rename": page(CONVERSATION, hidden=NOT_MINE, POST=_quiet(OWNER, {"title": "New"})),
    "playground:conversation-share": page(CONVERSATION, hidden=NOT_MINE, POST=to(OWNER, {"off": "1"})),
    "playground:conversation-use-case": page(CONVERSATION, hidden=NOT_MINE, POST=_quiet(OWNER, {"use_case": "code"})),
    "playground:conversation-fork": page(CONVERSATION, hidden=NOT_MINE, POST=_quiet(OWNER, {})),
    "playground:conversation-export": page(CONVERSATION, hidden=NOT_MINE, GET=OWNER),
    "playground:conversation-delete": page(CONVERSATION, hidden=NOT_MINE, POST=OWNER),
    "playground:shared": page(SHARED, GET=MEMBERS),
    "playground:shared-fork": page(SHARED, POST=_quiet(BUILDERS | SERVICE_ADMIN, {})),
    "playground:code": page(ANSWER_OF_PLACE, GET=MEMBERS),
    # The answer is in a shared conversation of the tenant admin's; the turn in one that is not shared.
    "playground:feedback": page(ANSWER, GET=MEMBERS, POST=_quiet(RATERS, {"verdict": "down"})),
    "playground:example-share": page(
        ANSWER,
        hidden=NOT_MINE,
        GET=OWNER,
        POST=to(OWNER, {"title": "New", "use_case": "draft"}),
    ),
    "playground:prompt-save": page(
        ANSWER,
        hidden=NOT_MINE,
        GET=OWNER,
        POST=to(OWNER, {"name": "New", "slug": "new"}),
    ),
    "playground:inbox-offer": page(ANSWER, hidden=NOT_MINE, POST=_quiet(OWNER, {})),
    "playground:vote": page(BLIND_TURN, hidden=NOT_MINE, POST=_quiet(OWNER, {"winner": "tie"})),
    "playground:example-list": page(GET=MEMBERS),
    "playground:example-detail": page(EXAMPLE, GET=MEMBERS),
    "playground:example-rate": page(EXAMPLE, POST=_quiet(RATERS, {"stars": "4"})),
    "playground:example-fork": page(EXAMPLE, POST=_quiet(BUILDERS | SERVICE_ADMIN, {})),
    "playground:example-remove": page(EXAMPLE, POST=ADMINS),
    "playground:recommendations": page(GET=MEMBERS),
    "playground:feedback-list": page(GET=TRIAGERS),
    "playground:rating-sets": page(GET=RATING_SETTERS),
    "playground:rating-set-make": page(POST=to(RATING_SETTERS, {"kind": "thumbs"})),
    "playground:rating-set-allow": page(POST=ADMINS),
    "playground:feedback-triage": page(FEEDBACK, POST=to(TRIAGERS, {"status": "confirmed"})),
    "playground:prompt-feedback": page(PROMPT, GET=MEMBERS),
    "playground:model-feedback": page(MODEL_SLUG, GET=MEMBERS),
    "tenants:key-list": page(GET=BUILDERS_AND_STAFF),
    "tenants:key-create": page(GET=BUILDERS | {"service_admin"}),
    "tenants:key-detail": page(KEY, hidden=NO_KEYS, GET=BUILDERS_AND_STAFF),
    "tenants:key-revoke": page(KEY, hidden=NO_KEYS, POST=ADMINS),
    "tenants:key-rotate": page(KEY, hidden=NO_KEYS, POST=to(ADMINS, {"overlap": "24"})),
    "tenants:project-list": page(GET=MEMBERS),
    "tenants:project-create": page(GET=ADMINS, POST=to(ADMINS, {"name": "New", "slug": "new", "environment": "dev"})),
    "tenants:project-detail": page(PROJECT, GET=MEMBERS),
    "tenants:project-edit": page(
        PROJECT,
        GET=PROJECT_CHANGERS - {"key:management"},
        POST=to(PROJECT_CHANGERS - {"key:management"}, {"name": "Other", "environment": "dev"}),
    ),
    "tenants:project-archive": page(PROJECT, POST=ADMINS),
    "tenants:limit-set": page(PROJECT, GET=ADMINS_AND_ENGINEERS),
    "tenants:limit-delete": page(LIMIT_PK, POST=ADMINS_AND_ENGINEERS),
    "tenants:budget-set": page(PROJECT, GET=ADMINS),
    "tenants:budget-delete": page(BUDGET_PK, POST=ADMINS),
    "tenants:member-list": page(GET=MEMBERS),
    "tenants:member-add": page(GET=ADMINS),
    "tenants:member-role": page(MEMBER_OF_PLACE, POST=to(ADMINS, {"role": "reviewer"})),
    "tenants:member-remove": page(MEMBER_OF_PLACE, POST=ADMINS),
    "models:list": page(GET=MEMBERS),
    "models:card": page(MODEL_SLUG, GET=MEMBERS),
    "models:approve": page(MODEL_OF_STAFF, POST=Act(STAFF, audited=False)),
    "models:provider-list": page(GET=STAFF),
    "models:provider-create": page(GET=STAFF),
    "models:provider-try": page(POST=Act(STAFF, audited=False)),
    "models:provider-detail": page(PROVIDER, GET=STAFF),
    "models:provider-edit": page(
        PROVIDER,
        GET=STAFF,
        POST=to(STAFF, {"name": "Other", "base_url": "https://192.0.43.7/v1", "credential_source": "none"}),
    ),
    "models:provider-test": page(PROVIDER, POST=Act(STAFF, audited=False)),
    "models:provider-switch": page(PROVIDER, POST=to(STAFF, {"enabled": "false"})),
    "models:provider-rotate": page(PROVIDER, POST=to(STAFF, {"secret": "sk-isolation-0123456789"})),
    "models:provider-models": page(
        PROVIDER, GET=STAFF, POST=to(STAFF, {"upstream_model": "writer-10b", "slug": "acme/ten:1b", "kind": "chat"})
    ),
    "models:licence-accept": page(MODEL_SLUG, POST=ADMINS),
}

ROWS = {**API, **PAGES}

# Nothing of any tenant is behind these: a description of the API, and the answer to what does not exist.
PUBLIC = {"api:schema", "api:docs", "api:redoc", "api:unknown"}

# What needs the gateway running would be called at a live Lobby. (The playground's socket: tests/playground.)
LIVE: set[str] = set()

# /v1 and /model, which stand beside Django's routes. Whose keys are let in; sessions never are.
V1 = {
    "/v1/models": frozenset({"key:inference", "key:foreign"}),
    "/v1/models/{id}": frozenset({"key:inference", "key:foreign"}),
    "/v1/chat/completions": frozenset({"key:inference", "key:foreign"}),
    "/v1/embeddings": frozenset({"key:inference", "key:foreign"}),
    "/v1/responses": frozenset({"key:inference", "key:foreign"}),
    "/v1/rerank": frozenset({"key:inference", "key:foreign"}),
    "/v1/images/generations": frozenset({"key:inference", "key:foreign"}),
    "/v1/audio/transcriptions": frozenset({"key:inference", "key:foreign"}),
    "/v1/audio/speech": frozenset({"key:inference", "key:foreign"}),
    "/v1/moderations": frozenset({"key:inference", "key:foreign"}),
    "/v1/messages": frozenset({"key:inference", "key:foreign"}),
    "/v1/messages/count_tokens": frozenset({"key:inference", "key:foreign"}),
    "/model/{id}/converse": frozenset({"key:inference", "key:foreign"}),
    "/model/{id}/converse-stream": frozenset({"key:inference", "key:foreign"}),
    "/model/{id}/invoke": frozenset({"key:inference", "key:foreign"}),
    "/model/{id}/invoke-with-response-stream": frozenset({"key:inference", "key:foreign"}),
}
