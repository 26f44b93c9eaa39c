"""Datasets, their examples, versions and uploads. Another tenant's dataset does not exist."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count, IntegerField, Max, OuterRef, Prefetch, Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from apps.evaluation.leaks import LeakCheck
from apps.evaluation.models import Dataset, DatasetVersion, Example, ExampleRevision, SignOff, Upload, VersionExample
from apps.evaluation.types import Split
from apps.prompts.content import whole_messages
from apps.prompts.models import Prompt, PromptVersion
from apps.tenants.access import Actor
from apps.tenants.errors import NotFound
from apps.tenants.models import Tenant

MOST_WORDS = 8
MOST_LOOKED_AT = 50
LARGEST = 2**63 - 1
WHY = "of a dataset that the actor may see"


@dataclass(frozen=True, slots=True)
class DatasetQuery:
    """What to show of the list; empty means any."""

    text: str = ""
    tag: str = ""
    archived: bool = False


@dataclass(frozen=True, slots=True)
class ExampleQuery:
    text: str = ""
    slice: str = ""
    split: str = ""
    tag: str = ""
    removed: bool = False


def datasets_for(actor: Actor, tenant: Tenant | None = None) -> QuerySet[Dataset]:
    """Those of monitors are no datasets of anybody's: they say what production requests said."""
    rows = Dataset.objects.for_actor(actor).filter(monitor=None).select_related("tenant", "owner", "prompt")
    return rows if tenant is None else rows.filter(tenant=tenant)


def search_datasets(actor: Actor, tenant: Tenant, query: DatasetQuery = DatasetQuery()) -> QuerySet[Dataset]:
    """With ``size`` (examples now), ``newest`` (its version's number) and ``signed`` (the newest signed number)."""
    rows = datasets_for(actor, tenant).filter(is_archived=query.archived)
    for word in query.text.split()[:MOST_WORDS]:
        rows = rows.filter(
            Q(name__icontains=word) | Q(slug__icontains=word) | Q(description__icontains=word) | Q(tags__icontains=word)
        )
    if query.tag:
        rows = rows.filter(tags__icontains=f'"{query.tag}"')
    return with_counts(rows)


def with_counts(rows: QuerySet[Dataset]) -> QuerySet[Dataset]:
    examples = Example.objects.unscoped(WHY).filter(dataset=OuterRef("pk"), is_removed=False).order_by()
    versions = DatasetVersion.objects.unscoped(WHY).filter(dataset=OuterRef("pk")).order_by()
    signed = versions.filter(sign_offs__is_approval=True)

    def one(found: QuerySet[Any], what: Any) -> Subquery:
        return Subquery(found.values("dataset").annotate(n=what).values("n"), output_field=IntegerField())

    return rows.annotate(
        size=Coalesce(one(examples, Count("pk")), 0),
        newest=one(versions, Max("number")),
        signed=one(signed, Max("number")),
    )


def tags_in_use(actor: Actor, tenant: Tenant) -> list[str]:
    rows = Dataset.objects.for_actor(actor).filter(tenant=tenant, is_archived=False).exclude(tags=[])
    return sorted({tag for tags in rows.values_list("tags", flat=True)[:500] for tag in tags})


def get_dataset_for(actor: Actor, tenant_slug: str, slug: str) -> Dataset:
    dataset = datasets_for(actor).filter(tenant__slug=tenant_slug, slug=slug).first()
    if dataset is None:
        raise NotFound(f"There is no dataset {slug[:60]!r}.")
    return dataset


# What it tests.


def newest_prompt_version(prompt: Prompt | None) -> PromptVersion | None:
    return None if prompt is None else prompt.versions.order_by("-number").first()


def variables_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """The variables of the prompt that it tests, with their schemas; else those of its own input schema."""
    version = newest_prompt_version(dataset.prompt)
    if version is not None and version.variables:
        return dict(version.variables)
    properties = dataset.input_schema.get("properties", {})
    return {name: each for name, each in properties.items() if name != "messages"}


def inputs_of(dataset: Dataset) -> dict[str, dict[str, Any]]:
    """What a file's columns can be of an input: its variables, else what its newest examples have. None of them has
    to have it: it counts as what has a default."""
    if variables := variables_of(dataset):
        return variables
    newest = examples_of(dataset).order_by("-pk").values_list("current__input", flat=True)[:MOST_LOOKED_AT]
    names = dict.fromkeys(name for each in newest if isinstance(each, dict) for name in each if name != "messages")
    return {name: {"default": None} for name in names}


def types_of(dataset: Dataset) -> dict[str, str]:
    """What a text is read as, by variable."""
    types = {name: type_of(schema) for name, schema in variables_of(dataset).items()}
    return types | {name: type_of(schema) for name, schema in dataset.input_schema.get("properties", {}).items()}


def type_of(schema: Mapping[str, Any]) -> str:
    """The one type that a text is read as; empty where a text may stay one."""
    kind = schema.get("type", "")
    kinds = kind if isinstance(kind, list) else [kind]
    wanted = [each for each in kinds if each != "null"]
    return str(wanted[0]) if len(wanted) == 1 else ""


def leak_check_of(prompt: Prompt | None) -> tuple[int, LeakCheck] | None:
    """The number of the prompt's newest version, and a check against its messages."""
    version = newest_prompt_version(prompt)
    if version is None:
        return None
    return version.number, LeakCheck(message.content for message in whole_messages(version.content))


# Examples.


def examples_of(dataset: Dataset, query: ExampleQuery = ExampleQuery()) -> QuerySet[Example]:
    """With their newest revision."""
    rows = Example.objects.unscoped(WHY).filter(dataset=dataset, is_removed=query.removed).select_related("current")
    for word in query.text.split()[:MOST_WORDS]:
        rows = rows.filter(Q(current__text__icontains=word) | Q(key__icontains=word))
    if query.slice:
        rows = rows.filter(current__slice=query.slice)
    if query.split in Split.values:
        rows = rows.filter(current__split=query.split)
    if query.tag:
        rows = rows.filter(current__tags__icontains=f'"{query.tag}"')
    return rows


def slices_of(dataset: Dataset) -> list[tuple[str, int]]:
    """Its slices with their sizes, largest first."""
    rows = Example.objects.unscoped(WHY).filter(dataset=dataset, is_removed=False).exclude(current__slice="")
    found = rows.order_by().values_list("current__slice").annotate(n=Count("pk")).order_by("-n", "current__slice")
    return [(str(slice), n) for slice, n in found[:100]]


def get_example_of(dataset: Dataset, pk: int) -> Example:
    rows = Example.objects.unscoped(WHY).filter(dataset=dataset, pk=min(pk, LARGEST)).select_related("current")
    example = rows.first()
    if example is None:
        raise NotFound(f"{dataset.name} has no such example.")
    example.dataset = dataset
    return example


def revisions_of(example: Example) -> QuerySet[ExampleRevision]:
    """Newest first."""
    rows = ExampleRevision.objects.unscoped(WHY).filter(example=example).select_related("created_by")
    return rows.order_by("-number")


# Versions.


def versions_of(dataset: Dataset) -> QuerySet[DatasetVersion]:
    """Newest first, with who signed."""
    signs = SignOff.objects.unscoped(WHY).select_related("user").order_by("-pk")
    rows = DatasetVersion.objects.unscoped(WHY).filter(dataset=dataset).select_related("created_by", "dataset__tenant")
    return rows.prefetch_related(Prefetch("sign_offs", signs)).order_by("-number")


def get_version_of(dataset: Dataset, number: int) -> DatasetVersion:
    version = versions_of(dataset).filter(number=min(number, 2**31 - 1)).first()
    if version is None:
        raise NotFound(f"{dataset.name} has no version {number}.")
    version.dataset = dataset
    return version


def version_before(version: DatasetVersion) -> DatasetVersion | None:
    rows = DatasetVersion.objects.unscoped(WHY).filter(dataset=version.dataset_id, number__lt=version.number)
    return rows.order_by("-number").first()


def members_of(version: DatasetVersion) -> QuerySet[VersionExample]:
    rows = VersionExample.objects.unscoped(WHY).filter(version=version)
    return rows.select_related("revision__example").order_by("position")


def opinions_on(version: DatasetVersion) -> list[SignOff]:
    """The last word of each who said one, newest first."""
    found: dict[object, SignOff] = {}
    for each in version.sign_offs.all():  # newest first
        found.setdefault(each.user_id or each.user_label, each)
    return list(found.values())


def standing_of(version: DatasetVersion) -> str:
    """``signed`` where somebody signed and nobody objects, ``objected``, or ``open``."""
    opinions = opinions_on(version)
    if any(not each.is_approval for each in opinions):
        return "objected"
    return "signed" if opinions else "open"


@dataclass(frozen=True, slots=True)
class Difference:
    """Revisions by their ids: those that came, those that went, and pairs of the old and the new one."""

    added: list[int] = field(default_factory=list)
    removed: list[int] = field(default_factory=list)
    changed: list[tuple[int, int]] = field(default_factory=list)

    @property
    def total(self) -> int:
        return len(self.added) + len(self.removed) + len(self.changed)


def difference(old: DatasetVersion | None, new: DatasetVersion) -> Difference:
    before = {} if old is None else _revisions(old)
    after = _revisions(new)
    return Difference(
        added=[pk for example, pk in after.items() if example not in before],
        removed=[pk for example, pk in before.items() if example not in after],
        changed=[(before[e], pk) for e, pk in after.items() if e in before and before[e] != pk],
    )


def _revisions(version: DatasetVersion) -> dict[int, int]:
    rows = VersionExample.objects.unscoped(WHY).filter(version=version).order_by("position")
    return dict(rows.values_list("revision__example_id", "revision_id"))


def revisions_by_id(ids: Iterable[int]) -> dict[int, ExampleRevision]:
    return ExampleRevision.objects.unscoped(WHY).select_related("example").in_bulk(list(ids))


def exported(version: DatasetVersion) -> Iterator[dict[str, Any]]:
    """The version's rows, as they lie in the archive and as an upload takes them back."""
    for member in members_of(version).iterator(chunk_size=500):
        yield as_row(member.revision.example.key, member.revision)


def as_row(key: str, revision: ExampleRevision) -> dict[str, Any]:
    return {
        "key": key,
        "input": revision.input,
        "expected": revision.expected,
        "context": revision.context,
        "tags": revision.tags,
        "slice": revision.slice,
        "split": revision.split,
    }


# Uploads.


def uploads_of(dataset: Dataset) -> QuerySet[Upload]:
    """Newest first."""
    return Upload.objects.unscoped(WHY).filter(dataset=dataset).select_related("created_by").order_by("-pk")


def get_upload_of(dataset: Dataset, pk: int) -> Upload:
    upload = uploads_of(dataset).filter(pk=min(pk, LARGEST)).first()
    if upload is None:
        raise NotFound(f"{dataset.name} has no such upload.")
    upload.dataset = dataset
    return upload


def duplicates_of(dataset: Dataset, digests: Sequence[str]) -> dict[str, Example]:
    """Examples of the dataset with this very content, by their hash."""
    rows = Example.objects.unscoped(WHY).filter(
        dataset=dataset, is_removed=False, current__content_hash__in=list(digests)
    )
    return {row.current.content_hash: row for row in rows.select_related("current") if row.current is not None}
