"""A guarded route for real: web and worker in front of a fake upstream, no message given by hand."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path
from typing import Any

from tests.evaluation.world import RunsWorld
from tests.fakes.process import FakeOpenAI
from tests.gateway.world import World
from tests.live import LobbyFactory

SETUP = """
from apps.evaluation.services.plans import PlanFacts, PlannedMetric, set_plan
from apps.gateway import services as gateway
from apps.tenants.control_plane import control_plane_changed
owner = User.objects.create_user("olga@example.com", "correct horse battery staple", name="Olga")
Membership.objects.create(tenant=tenant, user=owner, role=Role.ADMIN)
version = DatasetVersion.objects.unscoped("test").select_related("dataset").get(pk=version)
scorer = Scorer.objects.unscoped("test").get(kind="contains", tenant=tenant)
route = gateway.create_route(actor=Actor.of_user(owner), tenant=tenant, slug="letters", name="Letters",
                             targets=[{"model": Model.objects.get(slug=model)}])
set_plan(actor=ada, owner=route, facts=PlanFacts(
    dataset=version.dataset, project=project, metrics=[PlannedMetric(scorer)], policy="automatic"
))
control_plane_changed()
result = route.pk
"""
CHANGE = """
from apps.gateway import services as gateway
from apps.gateway.models import Route
owner = Actor.of_user(User.objects.get(email="olga@example.com"))
row = Route.objects.unscoped("test").get(pk=route)
saved = gateway.set_targets(actor=owner, route=row, targets=[{"model": Model.objects.get(slug=model)}])
result = saved.proposed.number
"""
DECISION = """
from apps.evaluation.models import GateDecision
row = GateDecision.objects.unscoped("test").filter(revision__number=number, route=route).first()
result = None if row is None else [row.status, row.verdict, row.reasons, row.evidence.get("worst", [])]
"""


def test_a_worse_change_is_stopped_and_a_better_one_answers_by_itself(
    live_lobby: LobbyFactory, lobby_template: Path, tmp_path: Path
) -> None:
    with ExitStack() as stack:
        fake = stack.enter_context(FakeOpenAI(tmp_path / "count.jsonl"))
        world = World(live_lobby(start=False), fake)
        stack.callback(world.close)
        world.start()
        runs = RunsWorld(world)
        world.lobby.start_worker()
        # How many words an upstream says is a part of its name there: two are right.
        good, none, wordy = [world.model(upstream=f"fake-chat@chunks={number}") for number in (2, 1, 4)]
        examples = [{"input": {"claim": f"claim {n}"}, "expected": "w0 w1" if n % 3 else "w0 w1 w2"} for n in range(60)]
        route = runs.run(SETUP, version=runs.dataset("letters", examples), model=good)

        def says(name: str = "letters") -> str:
            answer = world.post({"model": name, "messages": [{"role": "user", "content": "Say."}]})
            return str(answer.json()["choices"][0]["message"]["content"]) if answer.status_code == 200 else ""

        def decided(number: int) -> list[Any]:
            found: list[Any] = []

            def holds() -> bool:
                found[:] = runs.run(DECISION, number=number, route=route) or []
                return bool(found) and found[0] != "running"

            world.eventually(holds, within=60)
            return found

        world.eventually(lambda: says().split() == ["w0", "w1"], within=10)
        # What is proposed can be called by its name, and changes nothing for anybody else.
        number = runs.run(CHANGE, route=route, model=none)
        world.eventually(lambda: says(f"letters@{number}").split() == ["w0"], within=5)
        status, verdict, reasons, worst = decided(number)
        assert (status, verdict) == ("stopped", "worse"), reasons
        assert worst[0]["candidate_output"].split() == ["w0"]
        assert says().split() == ["w0", "w1"]
        listed = world.openai().models.list().data
        assert "letters" in {each.id for each in listed}
        assert not [each.id for each in listed if each.id.startswith("letters@")]

        number = runs.run(CHANGE, route=route, model=wordy)
        status, verdict, reasons, _ = decided(number)
        assert (status, verdict) == ("released", "better"), reasons
        world.eventually(lambda: len(says().split()) == 4, within=1.5)
