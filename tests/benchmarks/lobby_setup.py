"""Arranges the Lobby that is measured: a tenant with everything on. Prints a key of its project.

    python tests/benchmarks/lobby_setup.py TENANT/PROJECT MODEL

Limits of every metric stand on the key, the project and the tenant, and budgets on the project and the tenant; each is
far above what a benchmark can use, so that all of them are counted and none refuses. The model has a price, so that
every answer costs something.
"""

from __future__ import annotations

import sys

import django


def main(path: str, slug: str) -> None:
    """Makes tenant, project, key, limits, budgets and price."""
    django.setup()
    from apps.models import selectors as registry
    from apps.models.prices import Figures
    from apps.models.services import add_price
    from apps.tenants import services
    from apps.tenants.access import Actor
    from apps.tenants.types import Metric

    actor = Actor.system("benchmark")
    tenant_slug, _, project_slug = path.partition("/")
    tenant = services.create_tenant(actor=actor, slug=tenant_slug, name="Benchmark")
    project = services.create_project(actor=actor, tenant=tenant, slug=project_slug, name="Load")
    issued = services.create_api_key(actor=actor, project=project, name="Load")
    plenty = {Metric.REQUESTS: 10**9, Metric.TOKENS: 10**12, Metric.CONCURRENCY: 10**6}
    for metric, limit in plenty.items():
        for on_key, on_project in ((issued.api_key, None), (None, project), (None, None)):
            services.set_rate_limit(
                actor=actor, tenant=tenant, metric=metric, limit=limit, api_key=on_key, project=on_project
            )
    for on_project in (project, None):
        services.set_budget(actor=actor, tenant=tenant, amount_picousd=10**18, project=on_project)
    model = registry.get_model_for(actor, slug)
    figures = Figures(input_picousd=2_500_000, output_picousd=10_000_000)
    add_price(actor=actor, model=model, figures=figures, source="benchmark")
    print(issued.plaintext)


if __name__ == "__main__":
    main(*sys.argv[1:])
