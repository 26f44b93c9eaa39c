"""Projects at the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants import selectors, services
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError
from apps.tenants.types import Environment


class Command(BaseCommand):
    help = "Create or list projects."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create")
        create.add_argument("path", metavar="TENANT/PROJECT")
        create.add_argument("--name", help="As people read it; the short name where left out.")
        create.add_argument("--environment", choices=list(Environment.values), default=Environment.DEV.value)
        verbs.add_parser("list")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("command line")
        try:
            if options["verb"] == "create":
                tenant, _, slug = options["path"].partition("/")
                project = services.create_project(
                    actor=actor,
                    tenant=selectors.get_tenant_for(actor, tenant),
                    slug=slug,
                    name=options["name"] or slug,
                    environment=options["environment"],
                )
                self.stdout.write(f"Created the project {tenant}/{project.slug}.")
            else:
                for project in selectors.projects_for(actor):
                    state = "" if project.is_active else "archived"
                    path = f"{project.tenant.slug}/{project.slug}"
                    self.stdout.write(f"{path:<40} {project.environment:<5} {state:<9} {project.name}".rstrip())
        except DomainError as error:
            raise CommandError(str(error)) from None
