"""The file-backed broker: whoever looks for messages sees whole ones."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from kombu import Connection

from portal import celery
from portal.file_broker import Transport


def test_a_message_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with celery.app.connection_for_write() as ours:
        assert isinstance(ours.transport, Transport)
    folder = tmp_path / "messages"
    folder.mkdir()
    options = {"data_folder_in": str(folder), "data_folder_out": str(folder), "control_folder": str(tmp_path)}
    over = threading.Event()
    seen: set[str] = set()
    broken: list[str] = []

    def look() -> None:
        while not over.is_set() or len(seen) < 200:
            for path in folder.glob("*.jobs.msg"):
                seen.add(path.name)
                try:
                    json.loads(path.read_bytes())
                except ValueError:
                    broken.append(path.name)
                    return
            if over.is_set() and len(seen) < 200:
                return

    reader = threading.Thread(target=look)
    reader.start()
    with Connection("filesystem://", transport_options=options) as connection:
        channel = connection.channel()
        assert isinstance(channel, Transport.Channel)
        for number in range(200):
            channel._put("jobs", {"number": number, "body": "x" * 50_000})
        over.set()
        reader.join()
        assert broken == []
        assert sorted(channel._get("jobs")["number"] for _ in range(200)) == list(range(200))
