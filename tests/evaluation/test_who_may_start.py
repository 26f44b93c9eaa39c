"""A run's calls are charged to a tenant in somebody's name: who is none of its members starts none, and learns so."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import reverse

from apps.evaluation.models import Evaluation
from apps.evaluation.services import gates
from tests.cast import Cast
from tests.evaluation.gating import Gated, gated


@pytest.fixture
def world(cast: Cast) -> Gated:
    return gated(cast)


def at_work(cast: Cast, who: str) -> Client:
    """Signed in, and working in Claims."""
    client = Client()
    client.force_login(cast[who], backend="django.contrib.auth.backends.ModelBackend")
    client.post(reverse("portal:switch"), {"tenant": "claims"})
    return client


@pytest.mark.parametrize("page", ["evaluation:run-create", "evaluation:red-team-create"])
def test_staff_who_are_no_member_learn_it_before_they_fill_a_form_in(world: Gated, page: str) -> None:
    answer = at_work(world.cast, "service_admin").get(reverse(page))
    told = answer.content.decode()
    assert answer.status_code == 403
    assert "A run calls models for a member of Claims" in told
    assert "become one of them" in told
    assert at_work(world.cast, "scientist").get(reverse(page)).status_code == 200


@pytest.mark.parametrize("page", ["evaluation:run-list", "evaluation:red-team-list"])
def test_the_lists_offer_it_to_whom_it_works_for(world: Gated, page: str) -> None:
    new = reverse("evaluation:run-create" if page.endswith(":run-list") else "evaluation:red-team-create")
    offered = {
        who: new in at_work(world.cast, who).get(reverse(page)).content.decode()
        for who in ("service_admin", "scientist", "viewer")
    }
    assert offered == {"service_admin": False, "scientist": True, "viewer": False}


def test_a_gate_that_staff_run_is_in_the_name_of_the_versions_author(world: Gated) -> None:
    world.plan(policy="automatic")
    decision = gates.open_gate(actor=world.cast.actor("service_admin"), version=world.save("Sort well."))
    runs = Evaluation.objects.unscoped("test").all()
    assert [run.created_by for run in runs] == [world.cast["developer"]] * 2
    assert decision.policy["opened_by"] == world.cast.actor("service_admin").name
