"""The design system's tags: what they print is safe under the content security policy and against hostile text."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest
from django.template import Context, Template, TemplateSyntaxError
from django.test import RequestFactory
from django.utils import timezone

from portal.templatetags import lobby

ROOT = Path(__file__).resolve().parents[2]
TEMPLATES = sorted((ROOT / "templates").rglob("*.html"))
HOSTILE = '"><script>alert(1)</script>'


def render(source: str, path: str = "/", **values: object) -> str:
    return Template(source).render(Context({"request": RequestFactory().get(path), **values}))


def test_text_from_people_is_escaped_by_every_tag() -> None:
    printed = render(
        "{% initials text %}{% state text %}{% reltime None text %}{% sparkline numbers text %}"
        "{% stacked parts text %}"
        '{% sort_th text "f" %}{% icon "key-round" text %}{{ text|highlight:"bash" }}'
        '{{ text|highlight:"no-such-language" }}'
        '{% include "components/copy_code.html" with id="c" tabs=tabs title=text %}'
        '{% include "components/copy_line.html" %}'
        '{% include "components/stat.html" with label=text value=text hint=text %}',
        text=HOSTILE,
        numbers=[1, 2],
        parts=[{"label": HOSTILE, "value": 1}],
        tabs=[{"label": HOSTILE, "lang": "python", "code": HOSTILE}],
    )
    assert "<script" not in printed


def test_chart_data_cannot_leave_its_template() -> None:
    data = {"labels": ["</template><script>alert(1)</script>"], "series": [{"name": "a", "values": [1]}]}
    printed = render('{% include "components/chart.html" with id="c" title="T" %}', data=data)
    assert printed.count("<template") == printed.count("</template>") == 1
    assert "<script" not in printed


def test_a_chart_brings_its_numbers_as_a_table() -> None:
    data = {
        "labels": ["Mon", "Tue"],
        "series": [{"name": "a", "values": [0.5, 1200]}, {"name": "b", "values": [2, None]}],
    }
    printed = render('{% include "components/chart.html" with id="c" title="T" unit="usd" %}', data=data)
    cells = re.findall(r'<td class="num">(.*?)</td>', printed)
    assert cells == ["$0.50", "$2.00", "$1,200.00", "–"]


def test_an_unknown_icon_is_an_error_and_every_icon_named_in_a_template_exists() -> None:
    with pytest.raises(TemplateSyntaxError, match="no-such-icon"):
        render('{% icon "no-such-icon" %}')
    used = {name for path in TEMPLATES for name in re.findall(r'{% icon "([^"]+)"', path.read_text())}
    used |= {name for path in TEMPLATES for name in re.findall(r'icon(?:_name|)="([^"]+)"', path.read_text())}
    scripts = " ".join(path.read_text() for path in (ROOT / "static/js").glob("*.js"))
    used |= set(re.findall(r'icon\("([^"]+)"\)', scripts)) | {look.icon for look in lobby.STATES.values()}
    assert used <= lobby.icon_names()


@pytest.mark.parametrize("path", TEMPLATES, ids=lambda path: str(path.relative_to(ROOT / "templates")))
def test_templates_hold_nothing_inline_and_nothing_from_elsewhere(path: Path) -> None:
    source = re.sub(r"{%\s*comment.*?endcomment\s*%}", "", path.read_text(), flags=re.DOTALL)
    assert not re.search(r"\sstyle\s*=|<style|\son[a-z]+\s*=|hx-on|javascript:", source)
    assert not re.search(r"<script(?![^>]*\bsrc=)", source)
    assert not re.search(r"""(?:src|href|action)=["']?(?:https?:)?//""", source)


def test_sorting_keeps_the_filters_and_drops_the_page() -> None:
    printed = render('{% sort_th "Cost" "cost" "num" %}', path="/usage/?model=a&sort=-cost&page=3")
    assert 'aria-sort="descending"' in printed
    assert 'href="?model=a&amp;sort=cost"' in printed


def test_numbers_sort_largest_first_and_words_from_a() -> None:
    assert "sort=-cost" in render('{% sort_th "Cost" "cost" "num" %}')
    assert "sort=name" in render('{% sort_th "Name" "name" %}')


def test_the_pages_own_order_is_shown_when_the_url_names_none() -> None:
    assert 'aria-sort="descending"' in render('{% sort_th "When" "at" "" "-at" %}')


def test_a_relative_time_carries_the_exact_one() -> None:
    moment = timezone.now() - dt.timedelta(minutes=3)
    printed = render("{% reltime moment %}", moment=moment)
    assert "3 min ago" in printed
    assert f'datetime="{moment.astimezone(dt.UTC).isoformat(timespec="seconds")}"' in printed


def test_the_open_page_is_marked_in_the_navigation() -> None:
    assert "aria-current" in render('{% active "/models/" %}', path="/models/claude/")
    assert "aria-current" not in render('{% active "/" %}', path="/models/")
    assert "aria-current" in render('{% active "/models/" %}', path="/elsewhere/", nav_at="/models/")
    assert "aria-current" not in render('{% active "/elsewhere/" %}', path="/elsewhere/", nav_at="/models/")
