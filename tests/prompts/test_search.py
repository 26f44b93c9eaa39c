"""Tags of any script are found, whatever the database makes of them; and nothing else."""

from __future__ import annotations

import pytest
from django.urls import reverse

from apps.evaluation import services as evaluation
from apps.evaluation.selectors import datasets
from apps.prompts import selectors, services
from apps.prompts.selectors import PromptQuery
from tests.cast import Cast
from tests.prompts.test_pages import client

TAGS = ["größe", "要約", "🚗", "100%", "a_b", "plain"]

pytestmark = [pytest.mark.backends, pytest.mark.django_db]


def test_every_tag_that_the_page_offers_finds_its_prompts(cast: Cast) -> None:
    actor = cast.actor("developer")
    for number, tag in enumerate(TAGS):
        services.create_prompt(actor=actor, tenant=cast.claims, slug=f"p{number}", name="Name", tags=[tag])

    def found(query: PromptQuery) -> list[str]:
        return [prompt.slug for prompt in selectors.search_prompts(actor, cast.claims, query)]

    for number, tag in enumerate(TAGS):
        page = client(cast, "developer").get(reverse("prompts:list"), {"tag": tag}).content.decode()
        assert f">{tag}</option>" in page
        assert "No prompt matches" not in page
        assert found(PromptQuery(tag=tag)) == found(PromptQuery(text=tag)) == [f"p{number}"]
    assert found(PromptQuery(text="GRöß")) == ["p0"]
    assert [found(PromptQuery(tag=tag)) for tag in ("größ", "axb", "10", "gr_ße")] == [[], [], [], []]


def test_datasets_are_found_by_such_tags_too(cast: Cast) -> None:
    actor = cast.actor("developer")
    dataset = evaluation.create_dataset(actor=actor, tenant=cast.claims, slug="d", name="D", tags=TAGS)
    for tag in TAGS:
        assert datasets.search_datasets(actor, cast.claims, datasets.DatasetQuery(tag=tag)).get() == dataset
        assert datasets.search_datasets(actor, cast.claims, datasets.DatasetQuery(text=tag)).get() == dataset
