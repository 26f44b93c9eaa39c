"""The audit trail at the command line: verify it, read it."""

from __future__ import annotations

import json
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from apps.tenants import audit
from apps.tenants.models import AuditEntry


class Command(BaseCommand):
    help = "Verify or list the audit trail."

    def add_arguments(self, parser: ArgumentParser) -> None:
        verbs = parser.add_subparsers(dest="verb", required=True)
        verify = verbs.add_parser("verify", help="Walk the hash chain; exits 1 and names the first broken entry.")
        verify.add_argument(
            "--anchor",
            metavar="SEQUENCE:HASH",
            help="A head that an earlier verify printed: also proves that the trail was not rewritten since.",
        )
        listing = verbs.add_parser("list", help="Print the newest entries.")
        listing.add_argument("--tenant", metavar="SLUG", help="Only this tenant's.")
        listing.add_argument("--action", metavar="ACTION", help="Only this action, for example apikey.created.")
        listing.add_argument("--limit", type=int, default=50)
        listing.add_argument("--json", action="store_true", help="One JSON object per line.")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["verb"] == "verify":
            self._verify(options["anchor"])
        else:
            self._list(options)

    def _verify(self, anchor: str | None) -> None:
        verdict = audit.verify(None if anchor is None else _parse_anchor(anchor))
        if not verdict.ok:
            where = "" if verdict.sequence is None else f" at entry {verdict.sequence}"
            raise CommandError(f"The audit trail is broken{where}: {verdict.problem}.")
        self.stdout.write(f"ok: {verdict.entries} entries, head {verdict.entries}:{verdict.head_hash}")

    def _list(self, options: dict[str, Any]) -> None:
        rows = AuditEntry.objects.unscoped("the operator's command line").select_related("tenant")
        if options["tenant"]:
            rows = rows.filter(tenant__slug=options["tenant"])
        if options["action"]:
            rows = rows.filter(action=options["action"])
        for entry in rows[: max(options["limit"], 1)]:
            tenant = entry.tenant.slug if entry.tenant else "-"
            if options["json"]:
                facts = {
                    "sequence": entry.sequence,
                    "at": entry.at.isoformat(),
                    "tenant": tenant,
                    "actor": entry.actor_label,
                    "action": entry.action,
                    "target": f"{entry.target_type}:{entry.target_id}",
                    "target_label": entry.target_label,
                    "data": entry.data,
                }
                self.stdout.write(json.dumps(facts))
            else:
                self.stdout.write(
                    f"{entry.sequence:>7}  {entry.at:%Y-%m-%d %H:%M:%S}  {tenant:<16} {entry.actor_label:<30} "
                    f"{entry.action:<24} {entry.target_label}"
                )


def _parse_anchor(text: str) -> tuple[int, str]:
    sequence, _, digest = text.partition(":")
    if not sequence.isdigit() or len(digest) != len(audit.GENESIS):
        raise CommandError(f"--anchor {text!r} is not SEQUENCE:HASH as verify prints it.")
    return int(sequence), digest
