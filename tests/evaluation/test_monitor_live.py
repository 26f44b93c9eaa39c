"""The whole path of a monitor: requests through the gateway, a check by schedule, the webhook, the canary's return."""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from tests.evaluation.world import RunsWorld
from tests.fakes.webhook_receiver import webhook_receiver
from tests.gateway.test_content_log import prefix_of, set_percent

ENOUGH = 12  # answers of each version
_WATCHED = """
from apps.evaluation.services import monitors
from apps.evaluation.services.monitors import MonitorFacts
from apps.gateway.models import RequestContent
project = ApiKey.objects.unscoped("test").select_related("project__tenant").get(prefix=prefix).project
"""


def test_a_canary_that_answers_too_little_is_noticed_told_of_and_taken_back(runs_world: RunsWorld) -> None:
    world = runs_world.world
    key = world.project()
    set_percent(world, key, 100)

    def run(source: str, **values: Any) -> Any:
        return runs_world.run(_WATCHED + source, prefix=prefix_of(key), **values)

    def ask(user: int) -> str:
        """The version that answered."""
        body = {"prompt": {"id": "letters", "label": "live"}, "user": f"user-{user}"}
        answer = world.post(body | {"messages": [{"role": "user", "content": f"Letter {user}"}]}, key=key)
        assert answer.status_code == 200, answer.text
        return str(answer.headers["x-lobby-prompt-version"])

    with webhook_receiver() as receiver:
        run(
            """
prompt = prompts.create_prompt(actor=ada, tenant=tenant, slug="letters", name="Letters")
for words in (8, 1):
    content = {"messages": [{"role": "system", "content": f"Write. [[chunks={words}]]"}], "model": "fake-chat"}
    prompts.save_version(actor=ada, prompt=prompt, content=content)
for weights in ({1: 100}, {1: 60, 2: 40}):
    prompts.release_versions(actor=ada, prompt=prompt, environment=project.environment, label="live", weights=weights)
scorer = scorers.create_scorer(
    actor=ada, tenant=tenant, kind="length", slug="long-enough", parameters={"unit": "words", "least": 3}
)
monitors.create_monitor(actor=ada, tenant=tenant, facts=MonitorFacts(
    name="Letters", project=project, prompt=prompt, environment=project.environment, scorers=[scorer],
    window_minutes=15, sample_size=20, minimum_sample=5, baseline="release", webhook_url=url, rolls_back=True,
))
from apps.tenants.control_plane import control_plane_changed
control_plane_changed()
""",
            url=receiver.url,
        )
        world.wait_known(world.project())  # the gateway has seen the release since
        asked: Counter[str] = Counter()
        users: dict[str, int] = {}
        while min(asked["1"], asked["2"]) < ENOUGH:
            user = asked.total()
            version = ask(user)
            asked[version] += 1
            users[version] = user
            assert user < 200, asked
        kept = 'result = RequestContent.objects.unscoped("test").filter(project=project, label="live").count()'
        world.eventually(lambda: run(kept) == asked.total(), within=20)

        # Time passes: what was asked lies in the windows before, and a check is due. Half of it lies in the one that is
        # checked now, and half in the one that would be if that ended meanwhile.
        run(
            """
from datetime import timedelta
from django.utils import timezone
from apps.evaluation.services import checks
end = checks.window_end(timezone.now() - timedelta(minutes=2), 15)
for number in (1, 2):
    rows = RequestContent.objects.unscoped("test").filter(project=project, prompt_version=number).order_by("pk")
    for place, row in enumerate(rows):
        row.at = end + timedelta(minutes=10 if place % 2 else -5)
        row.save(update_fields=["at"])
Monitor.objects.unscoped("test").update(next_at=timezone.now() - timedelta(seconds=1))
"""
        )
        world.lobby.start_worker()
        try:
            world.eventually(lambda: bool(receiver.received), within=90)
        finally:
            world.lobby.stop_process("worker")
        headers, body = receiver.received[0]
        told = json.loads(body)["data"]
        [out] = told["out_of_control"]
        assert (told["monitor"], told["rolled_back"]) == ("letters", True)
        assert (out["scorer"], out["prompt_version"], out["value"], out["centre"]) == ("long-enough", 2, 0.0, 1.0)
        assert headers["webhook-signature"].startswith("v1,")
        assert told["url"].endswith(f"/monitors/acme/letters/#check-{told['check']}")
    released = run(
        """
from apps.prompts.selectors import label_state_of, weights_of
prompt = Monitor.objects.unscoped("test").select_related("prompt").get(slug="letters").prompt
state = label_state_of(prompt, project.environment, "live")
result = [state.release.decision, {str(n): weight for n, weight in weights_of(state.release).items()}]
"""
    )
    assert released == ["rollback", {"1": 100}]
    world.eventually(lambda: ask(users["2"]) == "1", within=10)
    # Other tests take all scorers that there are.
    run(
        """
monitors.delete_monitor(actor=ada, monitor=Monitor.objects.unscoped("test").get(slug="letters"))
Scorer.objects.unscoped("test").filter(slug="long-enough").delete()
"""
    )
