"""Makes the demonstration's datasets and its inbox, by the services that people use; only times move into the past."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any

from apps.evaluation import services
from apps.evaluation.models import Dataset, DatasetVersion, Example, ExampleRevision, InboxItem, SignOff
from apps.prompts.models import Prompt
from apps.tenants.access import Actor
from apps.tenants.models import Tenant, User
from portal.demo import cast
from portal.demo.dataset_texts import CLAIMS, CORRECTED, INTENTS, OFFERS, DemoCase

WHY = "demonstration"
NEXT_STEPS = {"low": "Ask for a photo.", "medium": "Send a surveyor.", "high": "Call the policyholder today."}


def seed_datasets(now: datetime) -> int:
    """How many were made. Needs the demonstration's prompts."""
    people = {person.name.split()[0]: Actor.of_user(User.objects.get(email=person.email)) for person in cast.PEOPLE}
    claims = _made(
        people["Mei"], "claims", "golden-claims", "Golden claims", "claims-triage",
        "First notices of loss from last year's files, read by two handlers. Injuries are over-represented on purpose.",
        ("golden", "triage"), now - timedelta(days=40),
    )  # fmt: skip
    wrong = [each._replace(expected=CORRECTED.get(each.text, each.expected)) for each in CLAIMS[:40]]
    _fill(people["Mei"], claims, wrong, "claim")
    first = _frozen(people["Mei"], claims, "Forty files of 2025", now - timedelta(days=38))
    _said(people["Rosa"], first, False, "Two of them hurt somebody: both are high.", now - timedelta(days=37))
    _correct(people["Mei"], claims)
    _fill(people["Mei"], claims, CLAIMS[40:], "claim", begin=41)
    second = _frozen(people["Mei"], claims, "Injuries corrected, liability added", now - timedelta(days=30))
    _said(people["Rosa"], second, True, "Read all of them.", now - timedelta(days=29))
    _said(people["Priya"], second, True, "", now - timedelta(days=28))

    intents = _made(
        people["Leila"], "retail-banking", "intent-golden", "Customers' intents", "intent",
        "Messages to the bank with the team that should get them. A complaint wins over everything else.",
        ("golden", "routing"), now - timedelta(days=26),
    )  # fmt: skip
    _fill(people["Leila"], intents, INTENTS, "message")
    third = _frozen(people["Leila"], intents, "First golden set", now - timedelta(days=25))
    _said(people["Jonas"], third, True, "Complaints are as we route them.", now - timedelta(days=24))
    _offers(people["Tomas"], claims, now)
    return 2


def _made(
    actor: Actor, tenant: str, slug: str, name: str, prompt: str, description: str, tags: tuple[str, ...], at: datetime
) -> Dataset:
    home = Tenant.objects.for_actor(actor).get(slug=tenant)
    dataset = services.create_dataset(
        actor=actor, tenant=home, slug=slug, name=name, description=description, tags=list(tags),
        prompt=Prompt.objects.for_tenant(home).get(slug=prompt),
    )  # fmt: skip
    Dataset.objects.unscoped(WHY).filter(pk=dataset.pk).update(created_at=at)
    return dataset


def _fill(actor: Actor, dataset: Dataset, cases: Sequence[DemoCase], variable: str, begin: int = 1) -> None:
    for at, case in enumerate(cases, begin):
        services.add_example(
            actor=actor,
            dataset=dataset,
            key=f"case-{at:02}",
            input={variable: case.text},
            expected=_expected(case.expected),
            slice=case.slice,
            split=case.split,
        )


def _expected(said: str) -> Any:
    line, _, severity = said.partition("/")
    return {"line": line, "severity": severity, "next_step": NEXT_STEPS[severity]} if severity else said


def _correct(actor: Actor, dataset: Dataset) -> None:
    right = {case.text: case for case in CLAIMS}
    for example in Example.objects.unscoped(WHY).filter(dataset=dataset).select_related("current", "dataset__tenant"):
        assert example.current is not None
        case = right[example.current.input["claim"]]
        if case.text in CORRECTED:
            services.edit_example(
                actor=actor, example=example, input=example.current.input, expected=_expected(case.expected),
                slice=case.slice, split=case.split,
            )  # fmt: skip


def _frozen(actor: Actor, dataset: Dataset, message: str, at: datetime) -> DatasetVersion:
    version = services.freeze_version(actor=actor, dataset=dataset, message=message).version
    DatasetVersion.objects.unscoped(WHY).filter(pk=version.pk).update(created_at=at)
    revisions = ExampleRevision.objects.unscoped(WHY).filter(memberships__version=version)
    revisions.filter(created_at__gt=at).update(created_at=at - timedelta(hours=3))
    Dataset.objects.unscoped(WHY).filter(pk=dataset.pk).update(updated_at=at)
    return version


def _said(actor: Actor, version: DatasetVersion, is_approval: bool, note: str, at: datetime) -> None:
    row = services.sign_off(actor=actor, version=version, is_approval=is_approval, note=note)
    SignOff.objects.unscoped(WHY).filter(pk=row.pk).update(created_at=at)


def _offers(actor: Actor, dataset: Dataset, now: datetime) -> None:
    """The worker clusters them as soon as it runs."""
    for at, offer in enumerate(OFFERS):
        item = services.offer_to_inbox(
            actor=actor, tenant=dataset.tenant, source="feedback", input={"claim": offer.text}, output=offer.output,
            reasons=[offer.reason], note=offer.note, prompt=dataset.prompt,
        )  # fmt: skip
        InboxItem.objects.unscoped(WHY).filter(pk=item.pk).update(created_at=now - timedelta(hours=7 * at + 2))
