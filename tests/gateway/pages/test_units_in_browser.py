"""What is sold by the piece, in a browser: the model's card, the Usage page and the request's bill."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.browser import ARGUMENTS, log_in
from tests.live import LiveLobby, LobbyFactory
from tests.models.test_hub_in_browser import CAST, PASSWORD

pytestmark = pytest.mark.browser

USED = """
import time
from apps.gateway.ledger import store
from apps.gateway.ledger.calendar import DayBuckets
from apps.gateway.ledger.lines import Settlement
from apps.gateway.ledger.pricing import PriceTerms, cost_picousd
from apps.gateway.ledger.reader import StoredRequestLine
from apps.models import services as registry
from apps.models.prices import Figures
from apps.models.providers.base import Usage
from apps.tenants import services
import msgspec
project = services.create_project(actor=actor, tenant=bank, slug="studio", name="Studio")
provider = registry.create_provider(actor=actor, slug="acme", name="Acme", base_url="http://127.0.0.1:9/v1")
prices = {
    "painter": ("image", Figures(unit="image", unit_picousd=40_000_000_000, image_output_picousd=30_000_000)),
    "writer": ("chat", Figures(3_000_000, 15_000_000, 300_000, 3_750_000, 6_000_000, audio_input_picousd=32_000_000)),
}
lines = store.Lines()
for number, (slug, (kind, figures)) in enumerate(prices.items()):
    model = registry.create_model(
        actor=actor, slug=slug, name=slug.title(), kind=kind, lifecycle="approved", is_open=True
    )
    endpoint = registry.create_endpoint(actor=actor, model=model, provider=provider, upstream_model=slug)
    price = registry.add_price(actor=actor, model=model, figures=figures, source="By hand")
    used = {"units": 3, "input_tokens": 12, "output_tokens": 300, "image_output_tokens": 300}
    if kind == "chat":
        used = {"input_tokens": 9_000, "output_tokens": 700, "cached_tokens": 4_000, "cache_write_tokens": 2_000,
                "cache_write_1h_tokens": 500, "audio_input_tokens": 1_200, "reasoning_tokens": 200}
    who = {"request_id": f"{number:032x}", "at": int(time.time() * 1000)}
    who |= {"tenant_id": bank.pk, "project_id": project.pk}
    cost = cost_picousd(PriceTerms.of(price), Usage(**used))
    lines.settlements.append(Settlement(
        **who, attempt_id=f"{number:032x}", model_id=model.pk, endpoint_id=endpoint.pk, price_id=price.pk,
        status="measured", outcome="ok", http_status=200, cost_picousd=cost, duration_ms=900, **used))
    lines.requests.append(StoredRequestLine(
        **who, operation="images.generations" if kind == "image" else "chat.completions", outcome="ok",
        http_status=200, model_slug=slug, attempts=1, input_tokens=used["input_tokens"],
        output_tokens=used["output_tokens"], cost_picousd=cost, duration_ms=900, why=msgspec.Raw(b"{}")))
store.write(lines, DayBuckets())
"""


@pytest.fixture
def lobby(live_lobby: LobbyFactory) -> LiveLobby:
    lobby = live_lobby(start=False)
    lobby.python(CAST + USED)
    lobby.start_web(wait=False)
    lobby.wait_ready("/accounts/login/")
    return lobby


@pytest.mark.parametrize(("size", "scheme"), [((1280, 900), "light"), ((390, 844), "dark")], ids=["wide", "phone"])
def test_units_are_priced_counted_and_billed(
    lobby: LiveLobby, chromium: str, size: tuple[int, int], scheme: str
) -> None:
    complaints: list[str] = []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=ARGUMENTS)
        viewport = {"width": size[0], "height": size[1]}
        page = browser.new_page(reduced_motion="reduce", viewport=viewport, color_scheme=scheme)  # type: ignore[arg-type]
        page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
        log_in(page, lobby.url, "ada@bank.test", PASSWORD, "/models/painter/")
        expect(page.get_by_text("$0.04", exact=True)).to_be_visible()
        expect(page.get_by_text("/images/generations").first).to_be_visible()

        page.goto(f"{lobby.url}/usage/?by=model")
        expect(page.get_by_role("row").filter(has_text="painter")).to_contain_text("3 units")

        for number, kinds in ((0, ("Image", "Images out")), (1, ("Cache writes for an hour", "Sound in", "Reasoning"))):
            page.goto(f"{lobby.url}/requests/{number:032x}/")
            for kind in kinds:
                expect(page.get_by_role("cell", name=kind, exact=True)).to_be_visible()
            wider = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
            assert page.evaluate(wider) == 0
        browser.close()
    assert complaints == []
