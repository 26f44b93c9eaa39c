"""Celery's file-backed broker, with messages that are there whole or not at all.

kombu's own writes a message under the name by which workers look for it: one that looks at the wrong moment reads half
of it, and ends.
"""

from __future__ import annotations

import time
import uuid
from pathlib import Path
from typing import Any

from kombu.exceptions import ChannelError
from kombu.transport import filesystem
from kombu.utils.json import dumps


class Channel(filesystem.Channel):
    # kombu's own classes name the message in two ways.
    def _put(self, queue: str, payload: Any, **options: Any) -> None:  # type: ignore[override]
        name = f"{round(time.monotonic() * 1000)}_{uuid.uuid4()}.{queue}.msg"
        path = Path(self.data_folder_out) / name
        part = path.with_name(f".{name}.part")
        try:
            part.write_bytes(dumps(payload).encode())
            part.replace(path)
        except OSError as error:
            raise ChannelError(f"The message cannot be written to {path.parent}: {error.strerror}.") from error


class Transport(filesystem.Transport):
    Channel = Channel

    # kombu's stubs know neither the timeout nor that the interval is set.
    def drain_events(self, connection: Any, timeout: float | None = None) -> None:  # type: ignore[override]
        """A worker looks only between two of these whether it is to stop; it asks for two seconds each."""
        interval: float = self.polling_interval  # type: ignore[assignment]
        super().drain_events(connection, timeout=min(timeout or interval, interval))
