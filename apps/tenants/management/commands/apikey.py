"""API keys at the command line."""

from __future__ import annotations

from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from apps.tenants import selectors, services
from apps.tenants.access import Actor
from apps.tenants.errors import DomainError, NotFound
from apps.tenants.models import Project
from apps.tenants.types import Scope

SHOWN = 20


class Command(BaseCommand):
    help = "Create, list or revoke API keys. `create` prints the key alone on standard output (but for --aws)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        create = verbs.add_parser("create", help="Issue a key; it is shown this once.")
        create.add_argument("--project", required=True, metavar="TENANT/PROJECT")
        create.add_argument("--name", default="Command line")
        create.add_argument(
            "--scopes", nargs="+", choices=list(Scope.values), default=[Scope.INFERENCE.value], metavar="SCOPE",
            help=f"Of: {', '.join(Scope.values)}.",
        )  # fmt: skip
        create.add_argument("--models", nargs="+", default=[], metavar="MODEL", help="Only these models.")
        create.add_argument("--expires-in-days", type=int, metavar="N")
        create.add_argument(
            "--aws", action="store_true",
            help="Print the key and the credential pair that it stands for towards AWS SDKs, as lines of an env file.",
        )  # fmt: skip
        revoke = verbs.add_parser("revoke", help="Revoke a key for good.")
        revoke.add_argument("prefix", help="As `apikey list` shows it.")
        revoke.add_argument("--reason", default="")
        listing = verbs.add_parser("list", help="The keys, without their secrets.")
        listing.add_argument("--project", metavar="TENANT/PROJECT")

    def handle(self, *args: Any, **options: Any) -> None:
        actor = Actor.system("command line")
        try:
            match options["verb"]:
                case "create":
                    self._create(actor, options)
                case "revoke":
                    api_key = selectors.get_key_for(actor, options["prefix"])
                    services.revoke_api_key(actor=actor, api_key=api_key, reason=options["reason"])
                    self.stdout.write(f"Revoked {api_key}.")
                case _:
                    self._list(actor, options["project"])
        except DomainError as error:
            raise CommandError(str(error)) from None

    def _create(self, actor: Actor, options: dict[str, Any]) -> None:
        days = options["expires_in_days"]
        if days is not None and not 1 <= days <= 3650:
            raise CommandError("--expires-in-days takes a number from 1 to 3650.")
        issued = services.create_api_key(
            actor=actor,
            project=_project(actor, options["project"]),
            name=options["name"],
            scopes=options["scopes"],
            allowed_models=options["models"],
            expires_at=None if days is None else timezone.now() + timedelta(days=days),
        )
        if not options["aws"]:
            self.stdout.write(issued.plaintext)
            return
        self.stdout.write(f"LOBBY_API_KEY={issued.plaintext}")
        self.stdout.write(f"AWS_ACCESS_KEY_ID={issued.aws_access_key_id}")
        self.stdout.write(f"AWS_SECRET_ACCESS_KEY={issued.aws_secret_access_key}")

    def _list(self, actor: Actor, path: str | None) -> None:
        keys = selectors.keys_for(actor)
        if path:
            keys = keys.filter(project=_project(actor, path))
        for key in keys:
            state = "revoked" if key.revoked_at else "active" if key.is_usable else "expired"
            where = f"{key.project.tenant.slug}/{key.project.slug}"
            self.stdout.write(f"{key.prefix}  {state:<8} {where:<30} {','.join(key.scopes):<20} {key.name}")


def _project(actor: Actor, path: str) -> Project:
    tenant, _, project = path.partition("/")
    try:
        return selectors.get_project_for(actor, tenant, project)
    except NotFound:
        known = [f"{p.tenant.slug}/{p.slug}" for p in selectors.projects_for(actor)[: SHOWN + 1]]
        if not known:
            raise CommandError(f"There is no project {path!r}, nor any other yet.") from None
        shown = ", ".join(known[:SHOWN]) + (", …" if len(known) > SHOWN else "")
        raise CommandError(f"There is no project {path!r}. There are: {shown}") from None
