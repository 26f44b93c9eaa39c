"""The base of the API's views. A view parses, calls one service or selector, and renders:

    class ProjectDetail(ApiView):
        @operation("change-project", "Change a project", request=ProjectChanges, response=ProjectOut)
        def patch(self, request, tenant, project):
            row = selectors.get_project_for(self.actor, tenant, project)
            changes = self.body(ProjectChanges)
            return self.shown(ProjectOut, services.update_project(actor=self.actor, project=row, **changes))

Objects are reached first, the body is read after: somebody else's object answers 404 whatever is sent to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.decorators import method_decorator
from django.views.decorators.cache import never_cache
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.serializers import BaseSerializer, Serializer
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from apps.tenants.access import Actor
from apps.tenants.errors import Invalid, NotFound
from apps.tenants.rest.errors import InvalidBody
from apps.tenants.rest.filters import Filters, narrowed, wanted_page
from apps.tenants.rest.pagination import paginate

T = TypeVar("T")
_LARGEST_NUMBER = 2**63 - 1


@method_decorator(never_cache, name="dispatch")
class ApiView(APIView):
    taken: BaseSerializer[Any] | None = None  # the input as last parsed, for naming what is wrong in it
    args: Any
    kwargs: Any

    @property
    def actor(self) -> Actor:
        actor: Actor = self.request.auth  # type: ignore[assignment]
        return actor

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        super().initial(request, *args, **kwargs)
        for value in kwargs.values():
            # Nothing that the database would refuse to look for.
            if (isinstance(value, str) and "\x00" in value) or (isinstance(value, int) and value > _LARGEST_NUMBER):
                raise NotFound("There is nothing here.")

    def body(self, serializer: type[Serializer[Any]]) -> dict[str, Any]:
        """The request's body as ``serializer`` reads it. Raises InvalidBody."""
        self.taken = form = serializer(data=self.request.data)
        if not form.is_valid():
            raise InvalidBody(form.errors)
        return dict(form.validated_data)

    def referenced(self, field: str, find: Callable[[], T]) -> T:
        """What the body's ``field`` refers to: where it is not the actor's to see, that field is wrong."""
        try:
            return find()
        except NotFound as error:
            raise Invalid(error.message, field=field, code="not_found") from None

    def shown(self, serializer: type[Serializer[Any]], row: Any, code: int = status.HTTP_200_OK) -> Response:
        return Response(serializer(row).data, status=code)

    def page(self, rows: QuerySet[Any], serializer: type[Serializer[Any]], filters: type[Filters]) -> Response:
        """The wanted page of what the query leaves of ``rows``."""
        ordering, size, cursor = wanted_page(self.request, filters)
        page = paginate(narrowed(rows, filters, self.request), ordering=ordering, size=size, cursor=cursor)
        return Response(
            {
                "results": serializer(page.rows, many=True).data,
                "next": self._link(page.next),
                "previous": self._link(page.previous),
            }
        )

    def _link(self, cursor: str) -> str | None:
        return replace_query_param(self.request.build_absolute_uri(), "cursor", cursor) if cursor else None


def no_content() -> Response:
    return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema(exclude=True)
class UnknownRoute(ApiView):
    """Whatever else is asked for under /api/: a problem in JSON, not a page."""

    permission_classes = (AllowAny,)
    authentication_classes = ()

    def dispatch(self, request: HttpRequest, *args: Any, **kwargs: Any) -> Any:
        self.slash = request.path.endswith("/")
        return super().dispatch(request, *args, **kwargs)

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise NotFound(
            "There is no such address in the API.",
            code="unknown_route",
            remedy="Addresses end without a slash." if self.slash else "See /api/docs/ for what there is.",
        )
