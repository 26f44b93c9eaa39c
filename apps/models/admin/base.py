"""What the registry's admin pages share."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display
from unfold.forms import BaseDialogForm

from apps.models.models import Endpoint, Price
from apps.models.prices import usd_per_mtok
from apps.tenants.admin_base import LobbyModelAdmin


def dialog(title: str, description: str, submit: str) -> dict[str, Any]:
    return {"title": title, "description": description, "form_submit_text": submit, "form_class": BaseDialogForm}


class RegistryAdmin(LobbyModelAdmin[Any]):
    view_action = "registry.view"
    manage_action = "registry.manage"

    def has_act_permission(self, request: HttpRequest, object_id: Any = None) -> bool:
        return self._manages(request)


class ReadOnlyInline(TabularInline):  # type: ignore[misc]
    """What hangs on a row, with a link to where it is changed. Who sees the row sees these."""

    extra = 0
    show_change_link = True
    tab = True

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return True

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    has_change_permission = has_delete_permission = has_add_permission


class EndpointInline(ReadOnlyInline):
    model = Endpoint
    fields = ["provider", "upstream_model", "region", "priority", "is_enabled", "missing_since"]
    readonly_fields = fields


class PriceInline(ReadOnlyInline):
    model = Price
    fields = ["effective_from", "endpoint", "input_shown", "output_shown", "source"]
    readonly_fields = fields

    @display(description="Input, $ per 1M")
    def input_shown(self, row: Price) -> str:
        return per_million(row.input_picousd)

    @display(description="Output, $ per 1M")
    def output_shown(self, row: Price) -> str:
        return per_million(row.output_picousd)


def per_million(picousd: int) -> str:
    return f"{usd_per_mtok(picousd):f}"
