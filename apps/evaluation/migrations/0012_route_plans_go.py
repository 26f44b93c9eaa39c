from typing import Any

from django.db import migrations


def remove_what_is_of_routes(apps: Any, schema_editor: Any) -> None:
    """On the way back: before it there were plans and decisions of prompts alone, and no route was guarded."""
    for name in ("GateDecision", "EvaluationPlan"):
        apps.get_model("evaluation", name).objects.filter(route__isnull=False).delete()
    apps.get_model("gateway", "Route").objects.exclude(guard="none").update(guard="none")


class Migration(migrations.Migration):
    """A migration of its own: what was deleted is committed before its columns go."""

    dependencies = [("evaluation", "0011_route_gates")]

    operations = [migrations.RunPython(migrations.RunPython.noop, remove_what_is_of_routes)]
