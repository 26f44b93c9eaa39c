"""Columns of prompts and routes in a real browser: chosen, filled in, run, and made into something of their own."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.axe import grave_violations
from tests.gateway.world import World
from tests.playground.browser import HOME, answered, ask, sign_in

pytestmark = pytest.mark.browser

CATALOG = """
from apps.gateway.models import Route, RouteTarget
from apps.prompts import services as prompts
from apps.tenants.control_plane import control_plane_changed
tenant = Tenant.objects.unscoped("test").get(slug="acme")
environment = Project.objects.for_tenant(tenant).get(slug="app-1").environment
prompt = prompts.create_prompt(actor=actor, tenant=tenant, slug="letter", name="Claim letter")
words = "Answer {{claim}} on {{date}} about {{amount}}, {{tone}}, {{urgent}}, {{facts}} [[chunks=3]]"
for number in (1, 2):
    text = words if number == 1 else words + " Sign it."
    content = {"messages": [{"role": "user", "content": text}], "variables": variables, "model": "fake-chat"}
    prompts.save_version(actor=actor, prompt=prompt, content=content)
for label, weights in (("live", {1: 100}), ("next", {2: 100})):
    prompts.release_versions(actor=actor, prompt=prompt, environment=environment, label=label, weights=weights)
route = Route.objects.create(tenant=tenant, slug="letters", name="Letters by the cheapest")
RouteTarget.objects.create(route=route, model=Model.objects.get(slug="fake-chat"))
control_plane_changed()
"""
VARIABLES: dict[str, Any] = {
    "claim": {"type": "string", "description": "What the customer wrote."},
    "date": {"type": "string", "default": "today"},
    "amount": {"type": "integer", "minimum": 1, "examples": [250, 900]},
    "tone": {"enum": ["warm", "cool"]},
    "urgent": {"type": "boolean", "default": True},
    "facts": {"type": "object", "examples": [{"line": "home"}]},
}


@pytest.fixture(scope="module")
def catalog(world: World) -> None:
    """A prompt of two versions, each under a label, and a route."""
    world.shell.run(CATALOG, variables=VARIABLES)
    body = {"prompt": {"id": "letter", "label": "nosuch"}, "messages": []}
    world.eventually(lambda: "label" in world.post(body).json()["error"]["message"], within=10)
    hello = {"model": "letters", "messages": [{"role": "user", "content": "Hi"}]}
    world.eventually(lambda: world.post(hello).status_code == 200, within=10)


@pytest.mark.usefixtures("catalog")
def test_two_versions_of_a_prompt_and_a_route_side_by_side(page: Page, world: World, complaints: list[str]) -> None:
    sign_in(page, world, then=HOME)
    page.get_by_test_id("model").select_option("prompt:letter")
    expect(page.get_by_test_id("prompt-version")).to_have_value("label:live")
    # A field by each variable's type, begun with its example or default.
    expect(page.get_by_test_id("variable-amount")).to_have_value("250")
    expect(page.get_by_test_id("variable-urgent")).to_be_checked()
    expect(page.get_by_test_id("variable-facts")).to_have_value(re.compile(r'"line": "home"'))
    page.get_by_role("button", name="900").click()
    expect(page.get_by_test_id("variable-amount")).to_have_value("900")
    page.get_by_test_id("prompt-text").locator("summary").click()
    expect(page.get_by_test_id("prompt-text")).to_contain_text("Answer {{claim}} on {{date}}")
    # What the page sees, and what only the server knows, is said at the field.
    page.get_by_test_id("variable-facts").fill("{")
    page.get_by_test_id("run").click()
    expect(page.get_by_test_id("problem-claim")).to_have_text("It is missing.")
    expect(page.get_by_test_id("problem-tone")).to_have_text("It is missing.")
    expect(page.get_by_test_id("problem-facts")).to_contain_text("It is no JSON")
    expect(page.get_by_test_id("variable-claim")).to_be_focused()
    page.get_by_test_id("variable-claim").fill("Hail broke a window")
    page.get_by_test_id("variable-tone").select_option("warm")
    page.get_by_test_id("variable-facts").fill('{"line": "motor"}')
    page.get_by_test_id("variable-amount").fill("0")
    page.keyboard.press("Control+Enter")
    expect(page.get_by_test_id("problem-amount")).to_have_text("It is below 1.")
    page.get_by_test_id("variable-amount").fill("12")
    # Beside it the other version, and a route.
    page.get_by_test_id("add-column").click()
    page.get_by_test_id("model").nth(1).select_option("prompt:letter")
    page.get_by_test_id("prompt-version").nth(1).select_option("version:2")
    page.get_by_test_id("variable-claim").nth(1).fill("A tree fell")
    page.get_by_test_id("variable-tone").nth(1).select_option("cool")
    page.get_by_test_id("prompt-model").nth(1).select_option("letters")
    # Without a message of one's own the prompts say it all.
    page.get_by_test_id("run").click()
    answered(page, 2)
    expect(page.get_by_test_id("answer-version")).to_have_text(["letter v1", "letter v2"])
    told = {json.loads(each["body"])["messages"][-1]["content"] for each in world.fake.requests()[-2:]}
    facts = '{"line": "motor"}'
    assert f"Answer Hail broke a window on today about 12, warm, true, {facts} [[chunks=3]]" in told
    page.reload()
    expect(page.get_by_test_id("answer-version")).to_have_text(["letter v1", "letter v2"])
    expect(page.locator(".question-prompt").nth(1)).to_contain_text("A tree fell")
    expect(page.get_by_test_id("title")).to_have_text("Claim letter")
    page.get_by_test_id("variables").first.locator("summary").click()
    assert grave_violations(page) == []
    # And a route is called like a model.
    ask(page, "And why? [[chunks=2]]")
    answered(page, 4)
    page.goto(f"{world.lobby.url}/playground/?project=app-1&model=letters")
    expect(page.get_by_test_id("model")).to_have_value("letters")
    ask(page, "Be brief [[chunks=2]]")
    answered(page)
    page.get_by_test_id("view-code").click()
    expect(page.get_by_test_id("code")).to_contain_text('"model": "letters"')
    assert complaints == []


@pytest.mark.usefixtures("catalog")
def test_an_answer_becomes_a_prompt_by_its_key_and_what_is_said_of_it_is_on_the_prompts_page(
    page: Page, world: World, complaints: list[str]
) -> None:
    sign_in(page, world, then="/playground/?prompt=letter@1")
    page.get_by_test_id("variable-claim").fill("Hail")
    page.get_by_test_id("variable-tone").select_option("cool")
    ask(page, "In one sentence. [[chunks=2]]")
    answered(page)
    page.get_by_test_id("thumb-up").click()
    expect(page.get_by_test_id("thumb-up")).to_have_attribute("aria-pressed", "true")
    page.locator(".column-scroll").click()
    page.keyboard.press("i")
    expect(page.locator(".toast")).to_contain_text("golden-dataset inbox")
    page.keyboard.press("p")
    page.locator("#prompt-form").get_by_label("Id").fill("letter")
    page.get_by_test_id("prompt-save").click()
    expect(page.locator("#prompt-form")).to_contain_text("a prompt 'letter' already")
    page.locator("#prompt-form").get_by_label("Name").fill("Short letter")
    page.locator("#prompt-form").get_by_label("Id").fill("short-letter")
    page.get_by_test_id("prompt-save").click()
    page.get_by_test_id("prompt-link").click()
    expect(page.locator("textarea[name=content]")).to_have_count(2)
    expect(page.locator("textarea[name=content]").nth(1)).to_have_value("In one sentence. [[chunks=2]]")
    page.goto(f"{world.lobby.url}/prompts/acme/letter/versions/1/")
    expect(page.get_by_test_id("prompt-feedback")).to_contain_text("Called good")
    page.get_by_role("link", name="Try it").click()
    expect(page.get_by_test_id("prompt-version")).to_have_value("version:1")
    assert [each for each in complaints if "422" not in each] == []
