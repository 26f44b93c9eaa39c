"""Reads of the catalog, always for an actor. Another tenant's prompt does not exist, unless a version was published."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Count, Max, Prefetch, Q, QuerySet

from apps.prompts import placeholders
from apps.prompts.models import Prompt, PromptVersion, Publication, Release, ReleaseShare
from apps.prompts.types import DEFAULT_LABEL, Include, UseCase
from apps.tenants.access import Actor, require_somewhere
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant
from apps.tenants.types import Environment

MOST_WORDS = 8
WHY_OF_A_PROMPT = "of a prompt that the actor may see"
_ENVIRONMENT_ORDER = {value: at for at, value in enumerate(reversed(Environment.values))}  # production first


@dataclass(frozen=True, slots=True)
class PromptQuery:
    """What to show of the catalog; empty means any. ``label`` is one that points somewhere now."""

    text: str = ""
    use_case: str = ""
    tag: str = ""
    owner_id: int | None = None
    archived: bool = False


def prompts_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Prompt]:
    rows = Prompt.objects.for_actor(actor).select_related("tenant", "owner", "forked_from__prompt__tenant")
    return rows if tenant is None else rows.filter(tenant=tenant)


def search_prompts(actor: Actor, tenant: Tenant, query: PromptQuery = PromptQuery()) -> QuerySet[Prompt]:
    """With ``versions_made`` and ``newest`` (the newest version's number)."""
    rows = prompts_for(actor, tenant).filter(is_archived=query.archived)
    for word in query.text.split()[:MOST_WORDS]:
        rows = rows.filter(
            Q(name__icontains=word) | Q(slug__icontains=word) | Q(description__icontains=word) | Q(tags__icontains=word)
        )
    if query.use_case in UseCase.values:
        rows = rows.filter(use_case=query.use_case)
    if query.tag:
        rows = rows.filter(tags__icontains=f'"{query.tag}"')
    if query.owner_id is not None:
        rows = rows.filter(owner_id=query.owner_id)
    return rows.annotate(newest=Max("versions__number"), versions_made=Count("versions"))


def tags_in_use(actor: Actor, tenant: Tenant) -> list[str]:
    rows = Prompt.objects.for_actor(actor).filter(tenant=tenant, is_archived=False).exclude(tags=[])
    return sorted({tag for tags in rows.values_list("tags", flat=True)[:500] for tag in tags})


def get_prompt_for(actor: Actor, tenant_slug: str, slug: str) -> Prompt:
    prompt = prompts_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if prompt is None:
        raise NotFound(f"There is no prompt {slug[:60]!r}.")
    return prompt


def versions_of(prompt: Prompt) -> QuerySet[PromptVersion]:
    """Newest first."""
    return prompt.versions.select_related("author", "parent").order_by("-number")


def get_version_for(actor: Actor, tenant_slug: str, slug: str, number: int) -> PromptVersion:
    return get_version_of(get_prompt_for(actor, tenant_slug, slug), number)


def get_version_of(prompt: Prompt, number: int) -> PromptVersion:
    version = versions_of(prompt).filter(number=min(number, 2**31 - 1)).first()
    if version is None:
        raise NotFound(f"{prompt.name} has no version {number}.")
    version.prompt = prompt
    return version


# Labels: the newest release of each.


@dataclass(frozen=True, slots=True)
class Share:
    """``percent`` of the label's traffic, rounded."""

    version: PromptVersion
    weight: int
    percent: int


@dataclass(frozen=True, slots=True)
class LabelState:
    """What a label means now in an environment."""

    release: Release
    shares: tuple[Share, ...]

    @property
    def label(self) -> str:
        return self.release.label

    @property
    def environment(self) -> str:
        return self.release.environment

    @property
    def is_split(self) -> bool:
        return len(self.shares) > 1


def labels_of(prompts: Iterable[Prompt]) -> dict[int, list[LabelState]]:
    """By prompt, production first, then by name. A fixed number of queries; withdrawn labels are left out."""
    ids = [prompt.pk for prompt in prompts]
    found: defaultdict[int, list[LabelState]] = defaultdict(list)
    for release in _with_shares(_newest_releases(Release.objects.unscoped(WHY_OF_A_PROMPT).filter(prompt_id__in=ids))):
        state = LabelState(release, shares_of(release))
        if state.shares:
            found[release.prompt_id].append(state)
    for states in found.values():
        states.sort(key=_label_order)
    return found


def _label_order(state: LabelState) -> tuple[int, bool, str]:
    return _ENVIRONMENT_ORDER[state.environment], state.label != DEFAULT_LABEL, state.label


def _newest_releases(rows: QuerySet[Release]) -> QuerySet[Release]:
    newest = rows.order_by().values("prompt_id", "environment", "label").annotate(newest=Max("pk")).values("newest")
    return Release.objects.unscoped(WHY_OF_A_PROMPT).filter(pk__in=newest)


def _with_shares(rows: QuerySet[Release]) -> QuerySet[Release]:
    shares = ReleaseShare.objects.unscoped(WHY_OF_A_PROMPT).select_related("version").order_by("-version__number")
    return rows.select_related("released_by").prefetch_related(Prefetch("shares", shares))


def shares_of(release: Release) -> tuple[Share, ...]:
    """What the release has its label mean; nothing, where it withdrew it."""
    rows = list(release.shares.all())
    total = sum(row.weight for row in rows)
    return tuple(Share(row.version, row.weight, round(row.weight * 100 / total)) for row in rows)


def labels_by_version(states: Iterable[LabelState]) -> dict[int, list[tuple[LabelState, Share]]]:
    """By version number: the labels that point to it, with its share."""
    found: defaultdict[int, list[tuple[LabelState, Share]]] = defaultdict(list)
    for state in states:
        for share in state.shares:
            found[share.version.number].append((state, share))
    return found


def releases_of(prompt: Prompt) -> QuerySet[Release]:
    """The release log, newest first."""
    return _with_shares(Release.objects.unscoped(WHY_OF_A_PROMPT).filter(prompt=prompt)).order_by("-pk")


def get_release_of(prompt: Prompt, pk: int) -> Release:
    release = releases_of(prompt).filter(pk=min(pk, 2**63 - 1)).first()
    if release is None:
        raise NotFound(f"{prompt.name} has no such release.")
    return release


def label_state_of(prompt: Prompt, environment: str, label: str) -> LabelState | None:
    """None where the label does not point anywhere."""
    rows = Release.objects.unscoped(WHY_OF_A_PROMPT).filter(prompt=prompt, environment=environment, label=label)
    release = _with_shares(rows).order_by("-pk").first()
    return None if release is None or not release.shares.all() else LabelState(release, shares_of(release))


def release_before(release: Release) -> Release | None:
    """What the label meant before, where it meant something else."""
    rows = _with_shares(Release.objects.unscoped(WHY_OF_A_PROMPT).filter(pk__lt=release.pk))
    rows = rows.filter(prompt_id=release.prompt_id, environment=release.environment, label=release.label)
    return next((row for row in rows.order_by("-pk")[:50] if weights_of(row) != weights_of(release)), None)


def weights_of(release: Release) -> dict[int, int]:
    """By version number."""
    return {share.version.number: share.weight for share in release.shares.all()}


def used_by(version: PromptVersion) -> list[PromptVersion]:
    """Where this version's text stands in: the newest version of each of the tenant's prompts that includes it."""
    rows = PromptVersion.objects.for_tenant(version.prompt.tenant).filter(includes__icontains=version.content_hash)
    newest: dict[int, PromptVersion] = {}
    for row in rows.select_related("prompt").order_by("-number")[:200]:
        newest.setdefault(row.prompt_id, row)
    return list(newest.values())


def includes_of(version: PromptVersion) -> list[tuple[Include, PromptVersion | None]]:
    """The prompts whose texts stand in it, each with its version; None where the tenant has none that says the same."""
    includes = version.content.includes.values()
    rows = PromptVersion.objects.for_tenant(version.prompt.tenant).filter(content_hash__in=[e.hash for e in includes])
    there = {(row.prompt.slug, row.number, row.content_hash): row for row in rows.select_related("prompt")}
    return [(each, there.get((each.slug, each.number, each.hash))) for each in includes]


def overridden_variables(version: PromptVersion) -> dict[str, dict[str, Any]]:
    """The declarations of variables that no message of its own has, where they say something else than the included
    versions do.
    """
    content = version.content
    own = placeholders.variables_in(each.content for each in content.messages)
    theirs: dict[str, dict[str, Any]] = {}
    for _, included in includes_of(version):
        theirs = {**(included.variables if included is not None else {}), **theirs}
    declared = {name: schema for name, schema in content.variables.items() if name not in own}
    return {name: schema for name, schema in declared.items() if theirs.get(name) != schema}


# Across tenants: what was published.


def publications_for(actor: Actor, text: str = "", use_case: str = "") -> QuerySet[Publication]:
    """What tenants have published to all; for whoever may read prompts in some tenant of their own."""
    require_somewhere(actor, "prompt.view", what="read the catalog")
    rows = Publication.objects.unscoped("published to every tenant").select_related(
        "version__prompt__tenant", "version__author", "published_by"
    )
    rows = rows.filter(version__prompt__is_archived=False)
    for word in text.split()[:MOST_WORDS]:
        rows = rows.filter(
            Q(version__prompt__name__icontains=word)
            | Q(version__prompt__description__icontains=word)
            | Q(version__prompt__tags__icontains=word)
            | Q(note__icontains=word)
        )
    if use_case in UseCase.values:
        rows = rows.filter(version__prompt__use_case=use_case)
    return rows.order_by("-published_at", "-pk")


def get_publication_for(actor: Actor, pk: int) -> Publication:
    publication = publications_for(actor).filter(pk=min(pk, 2**63 - 1)).first()
    if publication is None:
        raise NotFound("There is no such published prompt.")
    return publication


def publication_of(version: PromptVersion) -> Publication | None:
    rows = Publication.objects.unscoped(WHY_OF_A_PROMPT).filter(version=version)
    return rows.select_related("published_by").first()


def published_numbers(prompt: Prompt) -> set[int]:
    rows = Publication.objects.unscoped(WHY_OF_A_PROMPT).filter(version__prompt=prompt)
    return set(rows.values_list("version__number", flat=True))


def default_values(variables: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Something to begin a form with: each variable's first example, else its default."""
    values: dict[str, Any] = {}
    for name, schema in variables.items():
        if schema.get("examples"):
            values[name] = schema["examples"][0]
        elif "default" in schema:
            values[name] = schema["default"]
    return values
