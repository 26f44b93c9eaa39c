"""What every app's admin is built on.

The admin is one more face of the services. A form's last step of validation *is* the act: the service is called, and
what it refuses appears beside the field. An admin names its services in ``create``, ``update`` and ``remove``; where a
table has none of its own, the defaults save it, record the act in the audit trail and tell the gateway.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, Generic, TypeVar

from django import forms
from django.contrib import messages
from django.db import models, transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from unfold.admin import ModelAdmin

from apps.tenants import audit, money
from apps.tenants.access import Actor, can
from apps.tenants.control_plane import control_plane_changed
from apps.tenants.errors import DomainError
from apps.tenants.models import Tenant, User

M = TypeVar("M", bound=models.Model)


class ServiceForm(forms.ModelForm):  # type: ignore[type-arg]
    """Calls ``act`` (set by the admin) once everything else is valid; its ``DomainError`` becomes a form error."""

    act: ClassVar[Callable[[Any], models.Model] | None] = None

    def _post_clean(self) -> None:
        super()._post_clean()  # type: ignore[misc]
        act = type(self).__dict__.get("act")
        if self.errors or act is None:
            return
        try:
            with transaction.atomic():
                self.instance = act(self)
        except DomainError as error:
            field = (error.field or "").partition("/")[0]  # one of several texts in a field of JSON
            self.add_error(field if field in self.fields else None, str(error))


class LobbyModelAdmin(ModelAdmin, Generic[M]):  # type: ignore[misc]
    """An admin page whose saves and deletes go through services.

    ``view_action`` and ``manage_action`` are actions of ``access.py``; an empty ``manage_action`` means that nobody
    changes this table here. Rows are made, changed and deleted only where ``creates``, ``changes`` and ``deletes``.
    """

    view_action = "platform.view"
    manage_action = ""
    creates = changes = True
    deletes = False

    form = ServiceForm
    list_per_page = 50
    show_full_result_count = False
    list_filter_submit = True
    list_fullwidth = True
    compressed_fields = True
    warn_unsaved_form = True

    # Services

    def create(self, actor: Actor, form: Any) -> M:
        row: M = form.instance
        row.save()
        return self._recorded(actor, "created", row, {name: form.cleaned_data[name] for name in form.changed_data})

    def update(self, actor: Actor, row: M, form: Any) -> M:
        changed = {name: form.cleaned_data[name] for name in form.changed_data}
        row.save(update_fields=[name for name in changed if name in {f.name for f in row._meta.concrete_fields}])
        return self._recorded(actor, "updated", row, changed) if changed else row

    def remove(self, actor: Actor, row: M) -> None:
        self._recorded(actor, "deleted", row, {})
        row.delete()

    def _recorded(self, actor: Actor, verb: str, row: M, data: dict[str, Any]) -> M:
        tenant = getattr(row, "tenant", None)
        name = row._meta.model_name
        audit.record(actor, f"{name}.{verb}", row, data, tenant if isinstance(tenant, Tenant) else None)
        control_plane_changed()
        return row

    # Permissions: the platform roles decide, not Django's per-table ones

    def actor(self, request: HttpRequest) -> Actor:
        actor: Actor | None = getattr(request, "_lobby_admin_actor", None)
        if actor is None:
            assert isinstance(request.user, User)
            actor = Actor.of_user(request.user)
            request._lobby_admin_actor = actor  # type: ignore[attr-defined]
        return actor

    def _manages(self, request: HttpRequest) -> bool:
        return bool(self.manage_action) and can(self.actor(request), self.manage_action)

    def has_module_permission(self, request: HttpRequest) -> bool:
        return isinstance(request.user, User) and can(self.actor(request), self.view_action)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.has_module_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.creates and self._manages(request)

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.changes and self._manages(request)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.deletes and self._manages(request)

    # The road from Django's form to the service

    def get_form(self, request: HttpRequest, obj: Any = None, change: bool = False, **kwargs: Any) -> Any:
        form_class = super().get_form(request, obj, change=change, **kwargs)
        actor = self.actor(request)

        def act(form: Any) -> models.Model:
            return self.update(actor, form.instance, form) if change else self.create(actor, form)

        return type(form_class.__name__, (form_class,), {"act": act})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Nothing is left to do: the form's validation has acted."""

    def delete_model(self, request: HttpRequest, obj: Any) -> None:
        with transaction.atomic():
            self.remove(self.actor(request), obj)

    def delete_queryset(self, request: HttpRequest, queryset: Any) -> None:
        with transaction.atomic():
            for row in queryset:
                self.remove(self.actor(request), row)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """The audit trail has it."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """The audit trail has it."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """The audit trail has it."""

    def act_from_dialog(self, request: HttpRequest, done: str, act: Callable[[Actor], object]) -> HttpResponse:
        """The end of an action's dialog: act, say what was done or refused, and go back to the row."""
        try:
            with transaction.atomic():
                act(self.actor(request))
        except DomainError as error:
            messages.error(request, str(error))
        else:
            messages.success(request, done)
        object_id = request.resolver_match.kwargs["object_id"] if request.resolver_match else ""
        name = f"admin:{self.opts.app_label}_{self.opts.model_name}_change"
        target = reverse(name, args=[object_id])
        if request.headers.get("HX-Request") == "true":
            return HttpResponse(headers={"HX-Redirect": target})
        return redirect(target)


class ReadOnlyAdmin(LobbyModelAdmin[M]):
    """A ledger: looked at, searched and filtered, never changed here."""

    creates = changes = deletes = False


def usd(picousd: int | None) -> str:
    """Money in a list: ``$12.40``; a dash where there is none."""
    return "–" if picousd is None else money.format_usd(picousd)


def counted(number: int | None, unit: str) -> str:
    """A count in a list: ``1,200 tokens``; a dash where there is none."""
    return "–" if number is None else f"{number:,} {unit}{'' if number == 1 else 's'}"
