"""Tags and filters of the design system, known to every template (settings, ``builtins``): docs/design-system.md."""

from __future__ import annotations

import datetime as dt
import functools
import json
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from django import template
from django.conf import settings
from django.contrib.staticfiles import finders
from django.core.serializers.json import DjangoJSONEncoder
from django.http import HttpRequest
from django.templatetags.static import static
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString, mark_safe

from portal import formats

register = template.Library()

register.filter("num", formats.num)
register.filter("compact", formats.compact)
register.filter("usd", formats.usd)
register.filter("usd_exact", formats.usd_exact)
register.filter("tokens", formats.tokens)
register.filter("ms", formats.ms)
register.filter("percent", formats.percent)


@functools.cache
def icon_names() -> frozenset[str]:
    """The names in ``static/icons.svg``."""
    path = finders.find("icons.svg")
    if not isinstance(path, str):
        path = str(Path(settings.STATIC_ROOT) / "icons.svg")
    return frozenset(re.findall(r'<symbol id="([a-z0-9-]+)"', Path(path).read_text(encoding="utf-8")))


@register.simple_tag
def icon(name: str, label: str = "", cls: str = "") -> SafeString:
    """``{% icon "key-round" %}``: decoration, unless ``label`` says what it means. An unknown name raises."""
    if name not in icon_names():
        raise template.TemplateSyntaxError(f"No icon {name!r} in static/icons.svg; add it by scripts/icons.py.")
    classes = f"icon {cls}".strip()
    href = f"{static('icons.svg')}#{name}"
    if label:
        return format_html('<svg class="{}" role="img" aria-label="{}"><use href="{}"/></svg>', classes, label, href)
    return format_html('<svg class="{}" aria-hidden="true"><use href="{}"/></svg>', classes, href)


class State(NamedTuple):
    tone: str
    icon: str


# One look for each word that the system uses for a state, wherever it appears.
STATES: Mapping[str, State] = {
    **dict.fromkeys(
        (
            "active",
            "approved",
            "succeeded",
            "success",
            "ok",
            "healthy",
            "measured",
            "released",
            "passed",
            "accepted",
            "better",
            "done",
            "calm",
            "in_force",
        ),
        State("ok", "circle-check"),
    ),
    **dict.fromkeys(("running", "streaming", "onboarding", "canary"), State("info", "circle-dot")),
    **dict.fromkeys(
        ("pending", "queued", "in review", "in_review", "proposed", "requested", "draft", "waiting"),
        State("neutral", "circle-dashed"),
    ),
    **dict.fromkeys(
        (
            "warning",
            "deprecated",
            "expiring",
            "estimated",
            "interrupted",
            "paused",
            "degraded",
            "inconclusive",
            "cancelled",
            "overridden",
            "few",
            "acknowledged",
            "sandbox",
        ),
        State("warn", "triangle-alert"),
    ),
    **dict.fromkeys(
        (
            "failed",
            "error",
            "denied",
            "suspended",
            "blocked",
            "rejected",
            "down",
            "worse",
            "stopped",
            "out",
            "failing",
        ),
        State("danger", "circle-x"),
    ),
    **dict.fromkeys(
        ("revoked", "expired", "retired", "offboarded", "inactive", "disabled", "ended", "new", "dropped"),
        State("muted", "circle-slash"),
    ),
}


@register.simple_tag
def state(value: str, label: str = "") -> SafeString:
    """``{% state key.status %}``: a badge whose colour and icon follow from the word."""
    look = STATES.get(str(value).lower(), State("neutral", "circle"))
    text = label or str(value).replace("_", " ").capitalize()
    return format_html('<span class="badge badge-{}">{}{}</span>', look.tone, icon(look.icon), text)


@register.simple_tag
def reltime(moment: dt.datetime | None, never: str = "never") -> SafeString:
    """``<time>3 min ago</time>`` with the exact time as its title; ``None`` gives ``never``."""
    if moment is None:
        return format_html('<span class="text-3">{}</span>', never)
    utc = moment.astimezone(dt.UTC)
    return format_html(
        '<time datetime="{}" title="{}" data-rel>{}</time>',
        utc.isoformat(timespec="seconds"),
        timezone.localtime(moment).strftime("%-d %b %Y, %H:%M:%S %Z"),
        formats.relative(moment, timezone.now()),
    )


@register.simple_tag
def sparkline(values: Iterable[float] | None, label: str = "", tone: str = "") -> SafeString:
    """A line of a few numbers, drawn by the server. ``label`` is read aloud; ``tone``: ok, warn, danger."""
    series = [float(value) for value in values or []]
    points = formats.sparkline_points(series)
    if not points:
        return mark_safe("")
    line = " ".join(f"{x:g},{y:g}" for x, y in points)
    classes = f"spark spark-{tone}" if tone else "spark"
    role = format_html('role="img" aria-label="{}"', label) if label else mark_safe('aria-hidden="true"')
    return format_html(
        '<svg class="{}" viewBox="0 0 100 28" preserveAspectRatio="none" {}>'
        '<polygon class="spark-area" points="0,28 {} 100,28"/><polyline class="spark-line" points="{}"/></svg>',
        classes,
        role,
        line,
        line,
    )


@register.simple_tag
def initials(name: object, cls: str = "") -> SafeString:
    """A round avatar with initials; the same name always has the same colour."""
    text = str(name)
    classes = f"avatar avatar-{zlib.crc32(text.encode()) % 8} {cls}".strip()
    return format_html('<span class="{}" aria-hidden="true">{}</span>', classes, formats.initials(text))


@register.simple_tag(takes_context=True)
def sort_th(context: template.Context, label: str, field: str, cls: str = "", default: str = "") -> SafeString:
    """A sortable column head: the state is ``?sort=field`` or ``?sort=-field``. ``default``: the page's own order."""
    request: HttpRequest | None = context.get("request")
    query = request.GET.copy() if request else None
    current = (query.get("sort") if query is not None else None) or default
    direction = {field: "ascending", f"-{field}": "descending"}.get(current, "none")
    target = f"-{field}" if direction == "ascending" else field
    if direction == "none" and "num" in cls.split():
        target = f"-{field}"  # of numbers a reader wants the largest first
    href = f"?sort={target}"
    if query is not None:
        query["sort"] = target
        query.pop("page", None)
        query.pop("cursor", None)
        href = f"?{query.urlencode()}"
    symbol = {"ascending": "arrow-up", "descending": "arrow-down", "none": "arrow-up-down"}[direction]
    return format_html(
        '<th scope="col" class="{}" aria-sort="{}"><a class="th-sort" href="{}">{}{}</a></th>',
        cls,
        direction,
        href,
        label,
        icon(symbol),
    )


@register.simple_tag(takes_context=True)
def active(context: template.Context, prefix: str) -> str:
    """``aria-current`` for a link whose page is open: exact for ``/``, by prefix for the rest.

    A page that belongs below another entry than its address says names that entry's address in ``nav_at``.
    """
    request: HttpRequest | None = context.get("request")
    if request is None or not prefix:
        return ""
    at = str(context.get("nav_at") or request.path)
    here = at == prefix if prefix == "/" else at.startswith(prefix)
    return mark_safe(' aria-current="page"') if here else ""


@register.filter
def chart_rows(data: Mapping[str, Any]) -> list[tuple[Any, list[Any]]]:
    """A chart's data as table rows: ``[(label, [value of each series, …]), …]``."""
    series: Sequence[Mapping[str, Any]] = data["series"]
    return [(label, [line["values"][index] for line in series]) for index, label in enumerate(data["labels"])]


@register.simple_tag
def chart_value(value: float | None, unit: str = "") -> str:
    """A chart's number as its unit writes it: ``usd`` (dollars, not picodollars), ``ms``, ``tokens``, ``percent``."""
    if value is None:
        return formats.NOTHING
    if unit == "usd":
        return formats.usd(Decimal(str(value)))
    if unit == "ms":
        return formats.ms(value)
    if unit == "percent":
        return formats.percent(value)
    return formats.num(value)


@register.filter
def highlight(code: str, language: str) -> SafeString:
    """Source text as coloured HTML (classes only). An unknown language is escaped and left plain."""
    # Pygments costs 10 ms to import: pages without code do not pay for it.
    from pygments import highlight as render
    from pygments.formatters import HtmlFormatter
    from pygments.lexers import get_lexer_by_name
    from pygments.util import ClassNotFound

    try:
        lexer = get_lexer_by_name(language, stripnl=False, ensurenl=False)
    except ClassNotFound:
        return format_html("{}", code)
    coloured: str = render(code, lexer, HtmlFormatter(nowrap=True, classprefix="tok-"))
    return mark_safe(coloured)  # noqa: S308 - Pygments escapes the text


@register.simple_tag
def stacked(segments: Iterable[Mapping[str, Any]], label: str = "") -> SafeString:
    """A bar of shares: ``segments`` are ``{"label", "value"}``, coloured in the order of the chart series."""
    parts = [(str(part["label"]), float(part["value"])) for part in segments if float(part["value"]) > 0]
    total = sum(value for _, value in parts)
    if not total:
        return mark_safe("")
    bars, offset = [], 0.0
    for index, (name, value) in enumerate(parts):
        width = value / total * 100
        bars.append(
            (f"{offset:.3f}", f"{max(width - 0.4, 0.2):.3f}", index % 8 + 1, name, formats.percent(value / total))
        )
        offset += width
    body = format_html_join(
        "", '<rect x="{}" y="0" width="{}" height="8" class="fill-{}"><title>{}: {}</title></rect>', bars
    )
    return format_html(
        '<svg class="stacked" viewBox="0 0 100 8" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>',
        label,
        body,
    )


@register.simple_tag
def chart_json(chart_id: str, data: Mapping[str, Any]) -> SafeString:
    """The chart's data for the script, under the id that its canvas names.

    A template and not a script: swapped-in content may bring no script elements, not even ones of data.
    """
    return format_html('<template id="{}-data">{}</template>', chart_id, json.dumps(data, cls=DjangoJSONEncoder))
