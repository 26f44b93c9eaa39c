"""Whom django-axes counts failed logins for."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest


def login_name(request: HttpRequest, credentials: Mapping[str, Any] | None = None) -> str:
    """The address that somebody tried to sign in with, in lower case.

    allauth passes it on as ``email``, Django's own forms as ``username``, and before authentication it is only in the
    form: axes looks under one fixed name, and would count every try as nobody's.
    """
    given = credentials or {}
    name = given.get("email") or given.get("username") or request.POST.get("login") or request.POST.get("username")
    return str(name or "").strip().lower()
