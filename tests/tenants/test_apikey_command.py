"""``manage.py apikey create``: the key alone, or with the pair that it stands for."""

from __future__ import annotations

from io import StringIO

from django.core.management import call_command

from apps.tenants import apikeys
from apps.tenants.models import ApiKey
from tests.cast import Cast


def created(cast: Cast, *arguments: str) -> list[str]:
    out = StringIO()
    where = f"{cast.triage.tenant.slug}/{cast.triage.slug}"
    call_command("apikey", "create", "--project", where, *arguments, stdout=out)
    return out.getvalue().splitlines()


def test_the_key_alone_is_printed_unless_the_pair_is_asked_for(cast: Cast) -> None:
    [key] = created(cast)
    assert key.startswith("lby_")
    lines = dict(line.split("=", 1) for line in created(cast, "--aws"))
    assert list(lines) == ["LOBBY_API_KEY", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]
    prefix = apikeys.prefix_of(lines["AWS_ACCESS_KEY_ID"])
    assert prefix is not None
    row = ApiKey.objects.unscoped("test").get(prefix=prefix)
    assert prefix in lines["LOBBY_API_KEY"]
    assert lines["AWS_SECRET_ACCESS_KEY"] == apikeys.aws_secret_access_key(row.prefix, row.secret_hmac)
