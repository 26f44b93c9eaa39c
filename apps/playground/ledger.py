"""What the ledger says of one answer."""

from __future__ import annotations

import msgspec

from apps.gateway.models import RequestLog


class Figures(msgspec.Struct, frozen=True):
    input_tokens: int
    output_tokens: int
    cost_picousd: int


def read_figures(request_id: str) -> Figures | None:
    """None until the drainer has written the request down. For the run that made the request itself."""
    rows = RequestLog.objects.unscoped("the run's own request").filter(request_id=request_id)
    found = rows.values_list("input_tokens", "output_tokens", "cost_picousd").first()
    return None if found is None else Figures(*found)
