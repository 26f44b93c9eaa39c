"""Makes the demonstration's prompts, by the services that people use; only their times are moved into the past."""

from __future__ import annotations

from datetime import datetime, timedelta

from apps.prompts import services
from apps.prompts.models import Prompt, PromptVersion, Publication, Release
from apps.tenants.access import Actor
from apps.tenants.models import Tenant, User
from portal.demo import cast
from portal.demo.prompt_texts import PROMPTS, DemoPrompt, DemoVersion

WHY = "demonstration"
DAYS = 54
RELEASED_AFTER = timedelta(hours=5)


def seed_prompts(now: datetime) -> int:
    """How many were made. Needs the demonstration's tenants and people."""
    people = {person.name.split()[0]: Actor.of_user(User.objects.get(email=person.email)) for person in cast.PEOPLE}
    for at, plan in enumerate(PROMPTS):
        _seed(plan, people, now - timedelta(days=DAYS - at))
    return len(PROMPTS)


def _seed(plan: DemoPrompt, people: dict[str, Actor], begun: datetime) -> None:
    owner = people[plan.owner]
    tenant = Tenant.objects.for_actor(owner).get(slug=plan.tenant)
    prompt = services.create_prompt(
        actor=owner,
        tenant=tenant,
        slug=plan.slug,
        name=plan.name,
        description=plan.description,
        use_case=plan.use_case,
        tags=list(plan.tags),
    )
    moment = begun
    version: PromptVersion | None = None
    for number, said in enumerate(plan.versions, 1):
        moment += timedelta(days=9, hours=number * 3)
        saved = services.save_version(
            actor=people[said.author], prompt=prompt, content=_content(plan, said), message=said.message
        )
        version = saved.version
        PromptVersion.objects.unscoped(WHY).filter(pk=version.pk).update(created_at=moment)
        for release in (each for each in plan.releases if each.after == number):
            moment += RELEASED_AFTER
            made = services.release_versions(
                actor=people[release.author],
                prompt=prompt,
                environment=release.environment,
                label=release.label,
                weights=release.weights,
                reason=release.reason,
            )
            Release.objects.unscoped(WHY).filter(pk=made.pk).update(created_at=moment)
    if plan.published and version is not None:
        publication = services.publish_version(actor=_admin(plan, people), version=version, note=plan.published)
        Publication.objects.unscoped(WHY).filter(pk=publication.pk).update(published_at=moment)
    Prompt.objects.unscoped(WHY).filter(pk=prompt.pk).update(created_at=begun, updated_at=moment)


def _admin(plan: DemoPrompt, people: dict[str, Actor]) -> Actor:
    tenant = next(each for each in cast.TENANTS if each.slug == plan.tenant)
    return people[tenant.members[0][0]]


def _content(plan: DemoPrompt, said: DemoVersion) -> dict[str, object]:
    messages = [{"role": "system", "content": said.system}]
    if said.user:
        messages.append({"role": "user", "content": said.user})
    return {
        "messages": messages,
        "parameters": said.parameters,
        "variables": said.variables,
        "output_schema": said.output_schema,
        "tools": list(said.tools),
        "model": plan.model,
    }
