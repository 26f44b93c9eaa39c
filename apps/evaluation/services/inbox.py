"""The golden-set inbox: what went wrong somewhere, offered as an example."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db import IntegrityError, transaction
from django.utils import timezone

from apps.evaluation.content import Content, checked, clean_content, clean_label, plain_text
from apps.evaluation.errors import ExampleInvalid
from apps.evaluation.models import Dataset, Evaluation, Example, InboxItem
from apps.evaluation.selectors.datasets import duplicates_of, leak_check_of
from apps.evaluation.selectors.inbox import failed_requests_for
from apps.evaluation.selectors.monitors import check_of
from apps.evaluation.selectors.runs import ItemQuery, is_failing, items_of
from apps.evaluation.services.datasets import open_for_changes
from apps.evaluation.services.examples import Incoming, Provenance, schemas_of, store
from apps.evaluation.types import InboxStatus, Scrub, Source, Split
from apps.gateway.redaction import Redactor
from apps.prompts.models import Prompt
from apps.tenants import audit, validation
from apps.tenants.access import Actor, require
from apps.tenants.errors import Conflict, Invalid
from apps.tenants.jobs import enqueue
from apps.tenants.models import Tenant

MOST_REASONS = 10
LONGEST_NOTE = 1_000
LONGEST_OUTPUT = 100_000
SORT_TASK = "evaluation.sort_inbox"
WHY = "the inbox's own work"
MOST_AT_ONCE = 200
# What is clustered together: newer items first. Each pair of them is compared.
MOST_SORTED = 2_000
MOST_COMPARED = 5_000
MOST_CHARACTERS = 5_000


@transaction.atomic
def offer_to_inbox(
    *,
    actor: Actor,
    tenant: Tenant,
    source: str,
    input: dict[str, Any],
    source_ref: str = "",
    output: str = "",
    expected: Any = None,
    reasons: Sequence[str] = (),
    note: str = "",
    prompt: Prompt | None = None,
) -> InboxItem:
    """``input`` is an example's: values of a prompt's variables, or ``{"messages": [...]}``.

    Personal data is replaced before anything is written. The same ``source`` and ``source_ref`` are one item: offered
    again, it says what was said last, unless somebody has decided on it already. Every member may offer.
    """
    require(actor, "dataset.offer", tenant, what="offer something for a dataset")
    if prompt is not None and prompt.tenant_id != tenant.pk:
        raise Invalid("The prompt is of another tenant.", field="prompt")
    item = _offered(actor, tenant, source, source_ref, input, output, expected, reasons, note, prompt)
    enqueue(SORT_TASK, tenant.pk)
    return item


@transaction.atomic
def offer_failing_samples(*, actor: Actor, run: Evaluation) -> int:
    """What a monitor's check found failing among the requests of production, each with the scorers that it failed. How
    many were taken, of MOST_AT_ONCE at most.

    Raises Conflict where the run scored no samples of requests, none of them failed, or none can be an example.
    """
    require(actor, "dataset.offer", run.tenant, what="offer something for a dataset")
    check = check_of(run)
    failing = items_of(run, ItemQuery(show="failing"))[:MOST_AT_ONCE] if check is not None else ()
    if check is None or not failing:
        raise Conflict("None of this run's requests failed a scorer.", code="nothing_failed")
    requests = []
    for item in failing:
        scores = [each for each in item.scores.all() if is_failing(each)]
        requests.append(
            _Request(
                item.revision.source_ref,
                item.revision.input["messages"],
                item.output,
                [each.scorer_version.scorer.name for each in scores],
                next((each.reason for each in scores if each.reason), ""),
                check.monitor.prompt,
            )
        )
    return _offer_requests(actor, run.tenant, requests)


@transaction.atomic
def offer_failed_requests(*, actor: Actor, tenant: Tenant) -> int:
    """What the gateway kept of requests that failed, each with the code that its caller was told. How many were taken,
    of the newest MOST_AT_ONCE.

    Raises Conflict where there are none that were not offered before, or none of them can be an example.
    """
    require(actor, "dataset.offer", tenant, what="offer something for a dataset")
    failed = failed_requests_for(actor, tenant)[:MOST_AT_ONCE]
    if not failed:
        raise Conflict("No failed request waits to be brought in.", code="nothing_failed")
    prompts = Prompt.objects.for_tenant(tenant).in_bulk({each.prompt_id for each in failed if each.prompt_id})
    requests = [
        _Request(each.request_id, each.messages, "", [each.error.replace("_", " ")], "", prompts.get(each.prompt_id))
        for each in failed
    ]
    return _offer_requests(actor, tenant, requests)


@dataclass(frozen=True, slots=True)
class _Request:
    """What went wrong in production, as the gateway kept it."""

    request_id: str
    messages: list[dict[str, Any]]
    output: str
    reasons: list[str]
    note: str
    prompt: Prompt | None


def _offer_requests(actor: Actor, tenant: Tenant, requests: Iterable[_Request]) -> int:
    """How many were taken: one that can be no example, of too many messages, does not hold up the others."""
    offered, refused = 0, ""
    for each in requests:
        asked = {"messages": each.messages}
        try:
            _offered(
                actor,
                tenant,
                Source.REQUEST,
                each.request_id,
                asked,
                each.output,
                None,
                each.reasons,
                each.note,
                each.prompt,
            )
        except ExampleInvalid as error:
            refused = str(error)
        else:
            offered += 1
    if not offered:
        raise Conflict(f"None of these requests can be an example. {refused}", code="no_examples")
    enqueue(SORT_TASK, tenant.pk)
    return offered


def _offered(
    actor: Actor,
    tenant: Tenant,
    source: str,
    source_ref: str,
    input: dict[str, Any],
    output: str,
    expected: Any,
    reasons: Sequence[str],
    note: str,
    prompt: Prompt | None,
) -> InboxItem:
    source = validation.clean_choice(source, Source, field="source")
    source_ref = validation.clean_name(source_ref, field="source_ref") if source_ref else ""
    redactor = Redactor()
    content = clean_content(
        input=redactor.value(checked(input, "input")), expected=redactor.value(checked(expected, "expected"))
    )
    values: dict[str, Any] = {
        "prompt": prompt,
        "input": content.input,
        "output": redactor.text(_text(output, "output", LONGEST_OUTPUT)),
        "expected": content.expected,
        "reasons": [_text(each, "reasons", 40) for each in reasons][:MOST_REASONS],
        "note": redactor.text(_text(note, "note", LONGEST_NOTE))[:LONGEST_NOTE],
        "content_hash": content.digest,
        "redactions": redactor.found,
        "scrub": Scrub.REDACTED if redactor.found else Scrub.CLEAN,
        "cluster": "",
        "warnings": [],
        "sorted_at": None,
    }
    return _stored(tenant, source, source_ref, values, actor)


def _stored(tenant: Tenant, source: str, source_ref: str, values: dict[str, Any], actor: Actor) -> InboxItem:
    item = InboxItem(tenant=tenant, source=source, source_ref=source_ref, created_by=actor.user)
    _fill(item, values)
    try:
        with transaction.atomic():
            item.save(force_insert=True)
        return item
    except IntegrityError:
        rows = InboxItem.objects.for_tenant(tenant).filter(source=source, source_ref=source_ref)
        item = rows.select_for_update(of=("self",)).get()
    if item.status == InboxStatus.OPEN:
        _fill(item, values)
        item.save(update_fields=list(values))
    return item


def _fill(item: InboxItem, values: dict[str, Any]) -> None:
    for name, value in values.items():
        setattr(item, name, value)


def _text(value: str, field: str, maximum: int) -> str:
    """Shortened rather than refused: whoever offers was busy with something else."""
    return validation.clean_text(value.replace("\x00", "").strip()[:maximum], field=field, maximum=maximum)


# Deciding.


@dataclass(frozen=True, slots=True)
class Accepted:
    """``skipped`` says by item why it was not taken."""

    examples: list[Example] = field(default_factory=list)
    skipped: dict[int, str] = field(default_factory=dict)


@transaction.atomic
def accept_items(
    *,
    actor: Actor,
    dataset: Dataset,
    items: Iterable[InboxItem],
    split: str = Split.TEST,
    slice: str = "",
    tags: Sequence[str] = (),
) -> Accepted:
    """As examples that say where they came from. What the dataset has already, or cannot hold, is passed over."""
    dataset = open_for_changes(actor, dataset, "accept something into this dataset")
    accepted = Accepted()
    schemas = schemas_of(dataset)
    for item in _open_items(dataset.tenant, items):
        try:
            content = clean_content(
                input=item.input, expected=item.expected, tags=list(tags), slice=slice, split=split, schemas=schemas
            )
        except ExampleInvalid as error:
            accepted.skipped[item.pk] = str(error)
            continue
        twin = duplicates_of(dataset, [content.digest]).get(content.digest)
        if twin is not None:
            accepted.skipped[item.pk] = f"{dataset.name} has this as {twin.key} already."
            continue
        accepted.examples.append(_into(dataset, item, content, actor))
    if accepted.examples:
        told = {"examples": len(accepted.examples), "keys": [each.key for each in accepted.examples[:20]]}
        audit.record(actor, "dataset.inbox_accepted", dataset, told, dataset.tenant)
    return accepted


def _into(dataset: Dataset, item: InboxItem, content: Content, actor: Actor) -> Example:
    key = clean_label(f"inbox-{item.pk}", "key")
    provenance = Provenance(item.source, actor.user, item.scrub)
    [stored] = store(dataset, [Incoming(key, content, item.source_ref or f"inbox item {item.pk}")], provenance)
    _decide(item, InboxStatus.ACCEPTED, actor, stored.example)
    return stored.example


@transaction.atomic
def correct_item(*, actor: Actor, item: InboxItem, expected: Any, input: Any = None) -> InboxItem:
    """What should have been answered, and the input where it is to be said in other words; redacted like the offer."""
    require(actor, "dataset.edit", item.tenant, what="change an item of the inbox")
    item = _locked(item)
    if item.status != InboxStatus.OPEN:
        raise Conflict("Somebody has decided on this already.", code="decided")
    redactor = Redactor()
    content = clean_content(
        input=redactor.value(checked(item.input if input is None else input, "input")),
        expected=redactor.value(checked(expected, "expected")),
    )
    item.input, item.expected, item.content_hash = content.input, content.expected, content.digest
    if redactor.found:
        item.redactions = [*item.redactions, *redactor.found]
        item.scrub = Scrub.REDACTED
    item.save(update_fields=["input", "expected", "content_hash", "redactions", "scrub"])
    audit.record(actor, "dataset.inbox_corrected", item, {}, item.tenant)
    return item


@transaction.atomic
def dismiss_items(*, actor: Actor, tenant: Tenant, items: Iterable[InboxItem]) -> list[InboxItem]:
    """Those that were still open."""
    require(actor, "dataset.edit", tenant, what="dismiss something from the inbox")
    found = _open_items(tenant, items)
    for item in found:
        _decide(item, InboxStatus.DISMISSED, actor)
    if found:
        told = {"items": [item.pk for item in found]}
        audit.record(actor, "dataset.inbox_dismissed", tenant, told, tenant)
    return found


@transaction.atomic
def reopen_items(*, actor: Actor, tenant: Tenant, items: Iterable[InboxItem]) -> list[InboxItem]:
    """Undo: back to open; what an item was accepted as is taken out of its dataset again."""
    require(actor, "dataset.edit", tenant, what="bring something back to the inbox")
    rows = InboxItem.objects.for_tenant(tenant).filter(pk__in=_keys(items)).exclude(status=InboxStatus.OPEN)
    found = list(rows.select_related("example").select_for_update(of=("self",)).order_by("pk"))
    for item in found:
        if item.example is not None:
            item.example.is_removed = True
            item.example.save(update_fields=["is_removed"])
        _decide(item, InboxStatus.OPEN, None)
    if found:
        audit.record(actor, "dataset.inbox_reopened", tenant, {"items": [item.pk for item in found]}, tenant)
    return found


def _keys(items: Iterable[InboxItem]) -> list[int]:
    keys = [item.pk for item in items]
    if len(keys) > MOST_AT_ONCE:
        raise Invalid(f"At most {MOST_AT_ONCE} items at once.", field="items")
    return keys


def _open_items(tenant: Tenant, items: Iterable[InboxItem]) -> list[InboxItem]:
    rows = InboxItem.objects.for_tenant(tenant).filter(pk__in=_keys(items), status=InboxStatus.OPEN)
    return list(rows.select_related("tenant").select_for_update(of=("self",)).order_by("pk"))


def _locked(item: InboxItem) -> InboxItem:
    rows = InboxItem.objects.for_tenant(item.tenant).select_related("tenant", "prompt")
    return rows.select_for_update(of=("self",)).get(pk=item.pk)


def _decide(item: InboxItem, status: str, actor: Actor | None, example: Example | None = None) -> None:
    item.status, item.example = status, example
    item.decided_by = actor.user if actor is not None else None
    item.decided_at = timezone.now() if actor is not None else None
    item.save(update_fields=["status", "example", "decided_by", "decided_at"])


# The worker's part.


def sort_inbox(tenant_pk: int) -> int:
    """Clusters the open items by prompt, and warns of duplicates and leaks. How many items were looked at."""
    from apps.evaluation.similarity import clusters, nearest

    rows = InboxItem.objects.unscoped(WHY).filter(tenant_id=tenant_pk, status=InboxStatus.OPEN)
    if not rows.filter(sorted_at=None).exists():
        return 0
    items = list(rows.select_related("prompt").order_by("-pk")[:MOST_SORTED])
    now = timezone.now()
    by_prompt: dict[int | None, list[InboxItem]] = {}
    for item in items:
        by_prompt.setdefault(item.prompt_id, []).append(item)
    for prompt_pk, group in by_prompt.items():
        texts = [plain_text(item.input)[:MOST_CHARACTERS] for item in group]
        names = clusters([f"{text} {item.note}" for text, item in zip(texts, group, strict=True)])
        known = _known(tenant_pk, prompt_pk)
        twins = nearest(texts, [_asked(example) for example in known])
        check = leak_check_of(group[0].prompt)
        for item, name, twin in zip(group, names, twins, strict=True):
            item.cluster = name
            item.warnings = []
            if twin is not None:
                at, similarity = twin
                item.warnings.append(_of_twin(known[at], similarity))
            if check is not None and (leaked := check[1].leaked(item.input, item.expected)):
                item.warnings.append({"kind": "leak", "prompt_version": check[0], "text": leaked})
            item.sorted_at = now
    InboxItem.objects.unscoped(WHY).bulk_update(items, ["cluster", "warnings", "sorted_at"], batch_size=200)
    return len(items)


def _asked(example: Example) -> str:
    return "" if example.current is None else plain_text(example.current.input)[:MOST_CHARACTERS]


def _known(tenant_pk: int, prompt_pk: int | None) -> list[Example]:
    """The examples that an item may double: those of its prompt's datasets, or of those without one."""
    rows = Example.objects.unscoped(WHY).filter(
        dataset__tenant_id=tenant_pk, dataset__is_archived=False, is_removed=False
    )
    rows = rows.filter(dataset__prompt=None) if prompt_pk is None else rows.filter(dataset__prompt_id=prompt_pk)
    return list(rows.select_related("dataset", "current").order_by("-pk")[:MOST_COMPARED])


def _of_twin(example: Example, similarity: float) -> dict[str, Any]:
    return {
        "kind": "duplicate",
        "dataset": example.dataset.slug,
        "name": example.dataset.name,
        "example": example.pk,
        "key": example.key,
        "percent": round(similarity * 100),
    }


def sort_inboxes() -> None:
    """Each minute: the tenants with items that nobody has looked at; what the message was lost of."""
    rows = InboxItem.objects.unscoped(WHY).filter(status=InboxStatus.OPEN, sorted_at=None)
    for tenant_pk in rows.order_by().values_list("tenant_id", flat=True).distinct():
        sort_inbox(tenant_pk)
