"""What the pages of usage and of requests have in common."""

from __future__ import annotations

from collections.abc import Iterator

from django.http import HttpRequest, HttpResponse

from apps.gateway.csv_files import Cell, csv_lines
from apps.tenants.models import Project
from apps.tenants.views.requests import Here


def chosen_project(request: HttpRequest, here: Here) -> Project | None:
    """The project that the URL names; else the one chosen in the sidebar. An empty name means all."""
    asked = request.GET.get("project")
    if asked is None:
        return here.workspace.project
    return next((each for each in here.workspace.projects if each.slug == asked), None)


def csv_response(head: list[str], rows: Iterator[list[Cell]], name: str) -> HttpResponse:
    """The rows as a file. Whole, not streamed: they are bounded, and an ASGI server wants no synchronous iterator."""
    response = HttpResponse("".join(csv_lines(head, rows)), content_type="text/csv; charset=utf-8")
    response["Content-Disposition"] = f'attachment; filename="{name}"'
    return response


def with_parameters(request: HttpRequest, **changes: str) -> str:
    query = request.GET.copy()
    for name, value in changes.items():
        query[name] = value
    query.pop("cursor", None)
    return f"?{query.urlencode()}"
