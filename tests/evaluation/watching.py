"""A prompt whose answers are watched: samples as the gateway keeps them, checks worked off as by a worker."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.utils import timezone

from apps.evaluation.models import Evaluation, Monitor, MonitorCheck
from apps.evaluation.running import store
from apps.evaluation.running.worker import Worker
from apps.evaluation.services import checks, monitors
from apps.evaluation.services.monitors import MonitorFacts
from apps.evaluation.types import Baseline
from apps.gateway.services.contents import ContentFacts, Said, keep_content
from apps.prompts import services as prompts
from apps.prompts.models import Prompt
from apps.prompts.selectors import label_state_of, weights_of
from apps.tenants.services import update_project
from tests.cast import Cast
from tests.evaluation.gating import scorer

GOOD, REFUSED = "Hail: pay for the two skylights.", "I'm sorry, but I can't help with that."


@dataclass
class Watch:
    """A prompt of two versions; the first is live, the second a canary with a tenth of the calls."""

    cast: Cast
    prompt: Prompt
    count: int = 0

    def answered(self, version: int, *answers: str, ago: timedelta = timedelta(minutes=5), label: str = "live") -> None:
        for answer in answers:
            self.count += 1
            facts = ContentFacts(
                request_id=f"{self.count:032x}",
                at=timezone.now() - ago,
                tenant_id=self.cast.claims.pk,
                project_id=self.cast.triage.pk,
                environment="prod",
                model_slug="acme",
                prompt_id=self.prompt.pk,
                prompt_version=version,
                label=label,
            )
            keep_content(facts, [Said("user", f"Claim {self.count}: hail.")], Said("assistant", answer))

    def release(self, weights: dict[int, int]) -> None:
        prompts.release_versions(
            actor=self.cast.actor("developer"), prompt=self.prompt, environment="prod", label="live", weights=weights
        )

    @property
    def weights(self) -> dict[int, int]:
        state = label_state_of(self.prompt, "prod", "live")
        return {} if state is None else weights_of(state.release)

    def facts(self, **given: Any) -> MonitorFacts:
        whole: dict[str, Any] = {
            "name": "Refusals",
            "project": self.cast.triage,
            "prompt": self.prompt,
            "scorers": [self.scorer],
            "baseline": Baseline.RELEASE,
            "sample_size": 30,
            "rolls_back": True,
        }
        return MonitorFacts(**(whole | given))

    def monitor(self, **given: Any) -> Monitor:
        return monitors.create_monitor(
            actor=self.cast.actor("scientist"), tenant=self.cast.claims, facts=self.facts(**given)
        )

    def __post_init__(self) -> None:
        self.scorer = scorer(self.cast, "refusal")


def watched(cast: Cast) -> Watch:
    update_project(actor=cast.actor("owner"), project=cast.triage, content_percent=100)
    actor = cast.actor("developer")
    prompt = prompts.create_prompt(actor=actor, tenant=cast.claims, slug="triage", name="Claims triage")
    for text in ("Sort.", "Sort well."):
        content = {"messages": [{"role": "user", "content": text}], "model": "acme"}
        prompts.save_version(actor=actor, prompt=prompt, content=content)
    made = Watch(cast, prompt)
    made.release({1: 100})
    made.release({1: 90, 2: 10})
    return made


def check(watch: Watch, monitor: Monitor) -> MonitorCheck:
    """Of the hour until now, opened, scored and decided."""
    made = monitors.check_now(actor=watch.cast.actor("scientist"), monitor=monitor)
    work()
    made.refresh_from_db()
    return made


def work() -> None:
    for run in Evaluation.objects.unscoped("test").filter(status="queued"):
        found = store.find_run(run.public_id)
        assert found is not None
        Worker(found).work()
    checks.decide_checks()
