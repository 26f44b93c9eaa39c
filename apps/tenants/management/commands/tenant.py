"""Tenants at the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants import selectors, services
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError


class Command(BaseCommand):
    help = "Create, list, suspend or reactivate tenants."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create")
        create.add_argument("slug", help="A short name, for example retail.")
        create.add_argument("--name", help="As people read it; the short name where left out.")
        create.add_argument("--cost-center", default="")
        create.add_argument("--time-zone", default="UTC")
        verbs.add_parser("list")
        suspend = verbs.add_parser("suspend")
        suspend.add_argument("slug")
        suspend.add_argument("--reason", required=True)
        reactivate = verbs.add_parser("reactivate")
        reactivate.add_argument("slug")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("command line")
        try:
            match options["verb"]:
                case "create":
                    tenant = services.create_tenant(
                        actor=actor,
                        slug=options["slug"],
                        name=options["name"] or options["slug"],
                        cost_center=options["cost_center"],
                        time_zone=options["time_zone"],
                    )
                    self.stdout.write(f"Created the tenant {tenant.slug}.")
                case "suspend":
                    tenant = selectors.get_tenant_for(actor, options["slug"])
                    services.suspend_tenant(actor=actor, tenant=tenant, reason=options["reason"])
                    self.stdout.write(f"Suspended the tenant {tenant.slug}.")
                case "reactivate":
                    tenant = selectors.get_tenant_for(actor, options["slug"])
                    services.reactivate_tenant(actor=actor, tenant=tenant)
                    self.stdout.write(f"Reactivated the tenant {tenant.slug}.")
                case _:
                    for tenant in selectors.tenants_for(actor):
                        self.stdout.write(f"{tenant.slug:<30} {tenant.status:<12} {tenant.name}")
        except DomainError as error:
            raise CommandError(str(error)) from None
