"""What the playground's pages ask of a request beside who is there."""

from __future__ import annotations

from django.http import HttpRequest

from apps.tenants.models import Project
from apps.tenants.views.requests import Here


def project_named(here: Here, slug: str) -> Project | None:
    """The project of the reader's tenant with this slug; without one the chosen one, or the first."""
    projects = here.workspace.projects
    if slug:
        return next((each for each in projects if each.slug == slug), None)
    return here.workspace.project or (projects[0] if projects else None)


def asked_words(request: HttpRequest, name: str) -> str:
    """A search as it is asked."""
    return request.GET.get(name, "").replace("\x00", "").strip()[:200]
