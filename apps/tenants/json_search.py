"""Text is found in JSON fields on every database."""

from __future__ import annotations

import json
import re
from typing import Any

from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.models import JSONField
from django.db.models.lookups import IContains

_NOT_ASCII = re.compile(r"[^\x00-\x7f]+")


@JSONField.register_lookup
class JsonIContains(IContains):
    """``tags__icontains="größe"``. SQLite keeps the JSON as Django writes it, where this is ``gr\\u00f6\\u00dfe``."""

    def get_db_prep_lookup(self, value: Any, connection: BaseDatabaseWrapper) -> Any:
        if connection.vendor == "sqlite":
            value = _NOT_ASCII.sub(lambda found: json.dumps(found[0])[1:-1], str(value))
        return super().get_db_prep_lookup(value, connection)
