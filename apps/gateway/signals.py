"""What the gateway tells the layers above it."""

from __future__ import annotations

from django.dispatch import Signal

# Sent once a guarded route's proposed revision is committed, with ``revision_id``. A receiver that fails is logged; the
# revision stays proposed.
route_revision_proposed = Signal()
