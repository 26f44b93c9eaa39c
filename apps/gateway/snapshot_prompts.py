"""The catalog's prompts as the gateway sees them, and their reading from the database.

Every snapshot has each prompt's labels and the versions that they point to. Of a version the content is read once,
since it never changes; a version that a caller pins and no label points to is read when it is first asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field

from django.db.models import Max

from apps.prompts.models import Prompt, PromptVersion, Release, ReleaseShare
from apps.prompts.rendering import Template

WHY = "gateway snapshot"
# Pinned versions kept in memory; beyond, all are forgotten and read anew.
MAX_PINNED = 2_000
_IDS_PER_QUERY = 500


@dataclass(frozen=True, slots=True)
class VersionFacts:
    id: int
    number: int
    hash: str
    template: Template = field(repr=False)


@dataclass(frozen=True, slots=True)
class PromptFacts:
    """``labels`` gives (environment, label) its shares: (version's number, weight). ``newest`` is a number."""

    id: int
    slug: str
    newest: int
    labels: dict[tuple[str, str], tuple[tuple[int, int], ...]]
    versions: dict[int, VersionFacts] = field(repr=False)


_released: dict[int, VersionFacts] = {}  # by id, those of the last snapshot
_pinned: dict[tuple[int, int], VersionFacts] = {}  # by prompt's id and number


def read_prompts() -> dict[tuple[int, str], PromptFacts]:
    """By tenant's id and slug. A fixed number of queries, and one for every few hundred versions not yet known."""
    by_label = Release.objects.unscoped(WHY).order_by().values("prompt_id", "environment", "label")
    newest = by_label.annotate(last=Max("pk")).values("last")
    shares = ReleaseShare.objects.unscoped(WHY).filter(release__in=newest, release__prompt__is_archived=False)
    names = ("release__prompt_id", "release__environment", "release__label", "version_id", "version__number", "weight")
    labels: defaultdict[int, defaultdict[tuple[str, str], list[tuple[int, int]]]] = defaultdict(
        lambda: defaultdict(list)
    )
    wanted: defaultdict[int, set[int]] = defaultdict(set)
    for prompt_id, environment, label, version_id, number, weight in shares.order_by().values_list(*names):
        labels[prompt_id][environment, label].append((number, weight))
        wanted[prompt_id].add(version_id)
    known = _known({each for ids in wanted.values() for each in ids})
    prompts = Prompt.objects.unscoped(WHY).filter(is_archived=False).annotate(newest=Max("versions__number"))
    return {
        (tenant_id, slug): PromptFacts(
            id=pk,
            slug=slug,
            newest=last or 0,
            labels={place: tuple(sorted(found)) for place, found in labels[pk].items()},
            versions={known[each].number: known[each] for each in wanted[pk]},
        )
        for pk, tenant_id, slug, last in prompts.order_by().values_list("pk", "tenant_id", "slug", "newest")
    }


def read_version(prompt_id: int, number: int) -> VersionFacts | None:
    """One that was pinned. Runs in a thread."""
    row = PromptVersion.objects.unscoped(WHY).filter(prompt_id=prompt_id, number=number).first()
    if row is None:
        return None
    if len(_pinned) >= MAX_PINNED:
        _pinned.clear()
    facts = _pinned[prompt_id, number] = _facts(row)
    return facts


def pinned_version(prompt_id: int, number: int) -> VersionFacts | None:
    """One that was read before, without the database."""
    return _pinned.get((prompt_id, number))


def _known(ids: Iterable[int]) -> dict[int, VersionFacts]:
    global _released
    known = {each: _released[each] for each in ids if each in _released}
    missing = sorted(set(ids) - set(known))
    for start in range(0, len(missing), _IDS_PER_QUERY):
        rows = PromptVersion.objects.unscoped(WHY).filter(pk__in=missing[start : start + _IDS_PER_QUERY])
        known |= {row.pk: _facts(row) for row in rows}
    _released = known
    return known


def _facts(row: PromptVersion) -> VersionFacts:
    return VersionFacts(row.pk, row.number, row.content_hash, Template(row.content))
