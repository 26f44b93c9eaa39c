"""Conversations in a real browser: branches, finding and deleting them, permalinks, and what other tenants see."""

from __future__ import annotations

from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.gateway.world import World
from tests.playground.browser import answered, ask, person, sign_in

pytestmark = pytest.mark.browser


def test_branches_are_kept_and_can_be_turned_to(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "First question [[chunks=3]]")
    answered(page)
    ask(page, "Follow up [[chunks=4]]")
    answered(page, 2)
    page.get_by_test_id("edit-turn").last.click()
    expect(page.get_by_test_id("composer")).to_have_value("Follow up [[chunks=4]]")
    expect(page.get_by_test_id("branching")).to_contain_text("new branch in the place of")
    ask(page, "Other way [[chunks=5]]")
    expect(page.get_by_test_id("branches")).to_contain_text("2 of 2")
    answered(page, 2)
    page.get_by_label("Branch before").click()
    expect(page.locator(".question-text").last).to_have_text("Follow up [[chunks=4]]")
    page.get_by_test_id("branch").first.click()
    expect(page.get_by_test_id("branching")).to_contain_text("First question")
    ask(page, "Third way [[chunks=2]]")
    expect(page.get_by_test_id("branches")).to_contain_text("3 of 3")
    answered(page, 2)
    page.reload()
    expect(page.get_by_test_id("branches")).to_contain_text("3 of 3")


def test_conversations_are_found_renamed_exported_and_deleted(page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "About zeppelins [[chunks=3]]")
    answered(page)
    page.get_by_test_id("menu").click()
    page.get_by_role("button", name="Rename").click()
    page.get_by_test_id("rename-title").fill("Airships")
    page.keyboard.press("Enter")
    expect(page.get_by_test_id("title")).to_have_text("Airships")
    page.get_by_test_id("search").press_sequentially("zeppelins")
    expect(page.locator(".conversation")).to_have_count(1)
    expect(page.locator(".conversation")).to_contain_text("Airships")
    for name, holds in (("Export Markdown", "# Airships"), ("Export JSON", '"title": "Airships"')):
        page.get_by_test_id("menu").click()
        with page.expect_download() as downloading:
            page.get_by_role("button", name=name).click()
        assert holds in Path(downloading.value.path()).read_text()
    page.get_by_test_id("menu").click()
    page.get_by_test_id("delete").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete").click()
    page.wait_for_url("**/playground/")
    page.get_by_test_id("search").press_sequentially("zeppelins")
    expect(page.locator(".conversation")).to_have_count(0)


def test_a_permalink_is_read_and_forked_inside_the_tenant_alone(browser: Browser, page: Page, world: World) -> None:
    sign_in(page, world)
    ask(page, "Share this [[chunks=3]]")
    answered(page)
    page.get_by_test_id("menu").click()
    page.get_by_role("button", name="Share in the tenant").click()
    link = str(page.locator("#conversation-state [data-copy-text]").get_attribute("data-copy-text"))
    path = link.removeprefix(world.lobby.url)
    page.get_by_role("button", name="Done").last.click()
    expect(page.locator("#play-shared")).to_be_visible()
    with person(browser, world, []) as mate:
        sign_in(mate, world, "dev2", path)
        expect(mate.locator(".said")).to_contain_text("Share this [[chunks=3]]")
        mate.get_by_test_id("shared-fork").click()
        mate.wait_for_url("**/playground/?conversation=**")
        ask(mate, "Go on [[chunks=2]]")
        expect(mate.get_by_test_id("answer")).to_have_count(2)
    with person(browser, world, []) as stranger:
        sign_in(stranger, world, "theirs", path)
        expect(stranger.get_by_text("Share this")).to_have_count(0)
        assert stranger.goto(link).status == 404  # type: ignore[union-attr]
        assert stranger.goto(page.url).status == 404  # type: ignore[union-attr]


def test_two_tenants_side_by_side_see_no_trace_of_each_other(
    browser: Browser, page: Page, world: World, second_model: str
) -> None:
    with person(browser, world, []) as other:
        sign_in(page, world)
        sign_in(other, world, "theirs", "/playground/?project=secret&model=fake-chat")
        ask(page, "Zebra of acme [[chunks=60 delay_ms=20]]")
        ask(other, "Okapi of other [[chunks=60 delay_ms=20]]")
        answered(page)
        answered(other)
        for mine, foreign in ((page, "Okapi"), (other, "Zebra")):
            for path in ("", "conversations/", "recommendations/"):
                mine.goto(f"{world.lobby.url}/playground/{path}")
                assert foreign not in mine.content()
