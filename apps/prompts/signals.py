"""What the catalog tells the layers above it."""

from __future__ import annotations

from django.dispatch import Signal

# Sent once a new version is committed, with ``version_id``. A receiver that fails is logged; the version stays saved.
prompt_version_created = Signal()
