"""The people of the playground's tests, in a running Lobby: two tenants, acme and other."""

from __future__ import annotations

PASSWORD = "correct-horse-battery"
CAST = """
acme = Tenant.objects.unscoped("test").get(slug="acme")
other = services.create_tenant(actor=actor, slug="other", name="Other")
services.create_project(actor=actor, tenant=other, slug="secret", name="Secret")
for name, role, tenant in (
    ("dev", "developer", acme), ("dev2", "developer", acme), ("look", "viewer", acme), ("theirs", "admin", other),
    ("stranger", "", None), ("staff", "", None),
):
    user = services.create_user(
        actor=actor, email=f"{name}@bank.test", name=name.title(), password=password,
        platform_role="service_admin" if name == "staff" else "",
    )
    if tenant is not None:
        services.add_member(actor=actor, tenant=tenant, user=user, role=role)
"""
