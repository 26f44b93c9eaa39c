"""A model's answer as HTML. What a model writes is hostile: nothing in it may run, nothing may be fetched."""

from __future__ import annotations

import html
from functools import cache

import nh3
from django.utils.text import Truncator
from markdown_it import MarkdownIt

# As a fence names them. Others are shown plain: some of Pygments' lexers can be kept busy for long by a hostile text.
_NAMES = """
bash sh shell console c cpp c++ csharp c# css diff docker dockerfile go html ini java javascript js json jsx kotlin lua
make markdown md perl php powershell python py r ruby rb rust rs scala sql swift toml ts tsx typescript xml yaml yml
"""
LANGUAGES = frozenset(_NAMES.split())
# A longer listing is shown plain as well.
MOST_HIGHLIGHTED = 20_000
MOST_CHARACTERS = 400_000
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote", "span"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}


def to_html(text: str) -> str:
    """Safe HTML. Links open in another tab, only over https, http or mail, and do not tell where they came from."""
    shown = text[:MOST_CHARACTERS].replace("\x00", "")
    return nh3.clean(
        _markdown().render(shown),
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        allowed_classes={"span": _token_classes()},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )


def excerpt(text: str, characters: int) -> str:
    """The words of its beginning, without the marks, on one line."""
    made = to_html(text[: characters * 4])
    plain = html.unescape(nh3.clean(made.replace("</td>", "</td> ").replace("</th>", "</th> "), tags=set()))
    return Truncator(" ".join(plain.split())).chars(characters)


@cache
def _markdown() -> MarkdownIt:
    # Raw HTML in the text is shown as text; images become their description. What is left is sanitised all the same.
    made = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True, "highlight": _highlighted})
    return made.enable(["table", "strikethrough"]).disable("image")


def _highlighted(code: str, language: str, _: str) -> str:
    """Coloured code; empty where it stays plain, which markdown-it then escapes itself."""
    if language.lower() not in LANGUAGES or len(code) > MOST_HIGHLIGHTED:
        return ""
    # Pygments costs 10 ms to import: texts without code do not pay for it.
    from pygments import highlight
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name

    lexer = get_lexer_by_name(language.lower(), stripnl=False, ensurenl=False)
    coloured: str = highlight(code, lexer, HtmlFormatter(nowrap=True, classprefix="tok-"))
    return coloured


def coloured(code: str, language: str) -> str:
    """Source text as spans with Pygments' classes, for a page that has its text already; plain where unknown."""
    made = _highlighted(code, language, "") or html.escape(code)
    return nh3.clean(made, tags={"span"}, attributes={}, allowed_classes={"span": _token_classes()})


@cache
def _token_classes() -> set[str]:
    from pygments.token import STANDARD_TYPES

    return {f"tok-{short}" for short in STANDARD_TYPES.values() if short}
