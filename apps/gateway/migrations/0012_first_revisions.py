from typing import Any

from django.db import migrations


def write_first_revisions(apps: Any, schema_editor: Any) -> None:
    """What each route does now is its revision 1, in force since the route was made."""
    Route, RouteRevision = apps.get_model("gateway", "Route"), apps.get_model("gateway", "RouteRevision")
    RouteTarget = apps.get_model("gateway", "RouteTarget")
    for route in Route.objects.filter(revision=None).iterator():
        rows = RouteTarget.objects.filter(route=route).order_by("position", "pk")
        targets = [
            {
                "to": row.model.name if row.model else f"{row.endpoint.upstream_model} at {row.endpoint.provider.name}",
                "model": (row.model or row.endpoint.model).slug,
                "endpoint": row.endpoint_id,
                "purpose": row.purpose,
                "position": row.position,
                "weight": row.weight,
                "condition": row.condition,
                "arm": row.arm,
            }
            for row in rows.select_related("model", "endpoint__model", "endpoint__provider")
        ]
        route.revision = RouteRevision.objects.create(
            route=route,
            number=1,
            strategy=route.strategy,
            sticky=route.sticky,
            hedge_after_ms=route.hedge_after_ms,
            targets=targets,
        )
        route.save(update_fields=["revision"])
    revisions = RouteRevision.objects.filter(number=1)
    for pk, created_at in revisions.values_list("pk", "route__created_at"):
        revisions.filter(pk=pk).update(created_at=created_at, in_force_at=created_at)


class Migration(migrations.Migration):
    dependencies = [("gateway", "0011_route_revisions")]

    operations = [migrations.RunPython(write_first_revisions, migrations.RunPython.noop, elidable=True)]
