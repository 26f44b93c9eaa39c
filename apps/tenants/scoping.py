"""Tenant scope that fails closed.

The default manager of a tenant-owned table answers only to those who say for whom they ask:

    Project.objects.for_actor(actor)             what this actor may see (or: may do, with an action)
    Project.objects.for_tenant(tenant)           one tenant's rows, the tenant having been reached on such a road
    tenant.projects.all()                        the same
    Project.objects.unscoped("gateway snapshot") every tenant's rows; the reason stands beside the code for reviewers

``Project.objects.filter(...)`` raises ``ScopeError`` at that very line, and so does everything that would use it
unseen: a form's or serializer's default choices, a filter set, a generic view. Writing a new row needs no scope.

Django's own machinery is not in the way: foreign keys, ``refresh_from_db``, saves, cascades and migrations go through
``_base_manager``, which stays plain. What goes through the default manager (the admin, ``dumpdata``) runs inside
``with unscoped("admin"):``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from django.db import models

from apps.tenants.access import Actor, ActorKind
from apps.tenants.errors import ScopeError

if TYPE_CHECKING:
    from apps.tenants.models import Tenant

M = TypeVar("M", bound=models.Model)
_unscoped_because: ContextVar[str] = ContextVar("unscoped_because", default="")


@contextmanager
def unscoped(reason: str) -> Iterator[None]:
    """Inside, tenant-owned tables answer as plain ones. For machinery that cannot name its scope; never for a page."""
    if not reason:
        raise ValueError("Say why the scope is lifted.")
    token = _unscoped_because.set(reason)
    try:
        yield
    finally:
        _unscoped_because.reset(token)


class Lookups(NamedTuple):
    """Which action lets one see a row, and the lookups that lead from it to its tenant's and project's ids."""

    view: str
    tenant: str
    project: str


class TenantScopedManager(models.Manager[M]):
    """See the module. Every tenant-owned model has one as ``objects``."""

    def __init__(self, *, view: str = "", tenant: str = "tenant_id", project: str = "") -> None:
        # Django makes the managers of relations (tenant.projects) without arguments: the lookups live on the model.
        super().__init__()
        self._lookups = Lookups(view, tenant, project)

    def contribute_to_class(self, cls: type[models.Model], name: str) -> None:
        super().contribute_to_class(cls, name)
        cls.scope_lookups = self._lookups  # type: ignore[attr-defined]

    def get_queryset(self) -> models.QuerySet[M]:
        # A related manager (tenant.projects) has an instance, which was itself reached on an access road.
        if getattr(self, "instance", None) is not None or _unscoped_because.get():
            return super().get_queryset()
        name = self.model.__name__
        raise ScopeError(
            f"{name}.objects was queried without a tenant. Use {name}.objects.for_actor(actor), .for_tenant(tenant), "
            f'or .unscoped("why") where the platform itself asks.'
        )

    def for_actor(self, actor: Actor, action: str = "") -> models.QuerySet[M]:
        """The rows on which ``actor`` may do ``action`` (by default: that they may view)."""
        lookups: Lookups = self.model.scope_lookups  # type: ignore[attr-defined]
        rows = self.unscoped("the filters of the next lines")
        allowed = actor.tenants_allowing(action or lookups.view)
        if allowed is not None:
            rows = rows.filter(**{f"{lookups.tenant}__in": allowed})
        if actor.kind is ActorKind.API_KEY and lookups.project:
            rows = rows.filter(**{lookups.project: actor.project_id})
        return rows

    def for_tenant(self, tenant: Tenant) -> models.QuerySet[M]:
        lookups: Lookups = self.model.scope_lookups  # type: ignore[attr-defined]
        return self.unscoped("the filter of this line").filter(**{lookups.tenant: tenant.pk})

    def unscoped(self, reason: str) -> models.QuerySet[M]:
        """Every tenant's rows, for the platform's own work; ``reason`` says which."""
        with unscoped(reason):
            return self.get_queryset()

    def create(self, **fields: Any) -> M:
        return self.unscoped("a new row names its tenant").create(**fields)

    def bulk_create(self, objs: Iterable[M], *args: Any, **options: Any) -> list[M]:
        return self.unscoped("new rows name their tenant").bulk_create(objs, *args, **options)
