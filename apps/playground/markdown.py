"""A model's answer as HTML. What a model writes is hostile: nothing in it may run, nothing may be fetched."""

from __future__ import annotations

import nh3
from markdown_it import MarkdownIt

# Raw HTML in the text is shown as text; images become their description. What is left is sanitised all the same.
_markdown = MarkdownIt("commonmark", {"html": False, "linkify": False, "breaks": True}).enable(
    ["table", "strikethrough"]
)
_markdown.disable("image")
TAGS = {
    *("p", "br", "hr", "h1", "h2", "h3", "h4", "h5", "h6", "strong", "em", "s", "code", "pre", "blockquote"),
    *("ul", "ol", "li", "table", "thead", "tbody", "tr", "th", "td", "a"),
}
MOST_CHARACTERS = 400_000


def to_html(text: str) -> str:
    """Safe HTML. Links open in another tab, only over https, http or mail, and do not tell where they came from."""
    shown = text[:MOST_CHARACTERS].replace("\x00", "")
    return nh3.clean(
        _markdown.render(shown),
        tags=TAGS,
        attributes={"a": {"href"}, "ol": {"start"}},
        url_schemes={"http", "https", "mailto"},
        link_rel="noopener noreferrer nofollow",
        set_tag_attribute_values={"a": {"target": "_blank"}},
    )
