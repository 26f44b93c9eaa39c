"""A mail server on loopback that keeps what it is sent, and refuses when it is told to."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage


@dataclass
class Sink:
    port: int = 0
    refuses: bool = False
    mails: list[EmailMessage] = field(default_factory=list)


@contextmanager
def smtp_sink() -> Iterator[Sink]:
    sink = Sink()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self.say("220 sink")
            while line := self.rfile.readline():
                match line.split(None, 1)[0].upper():
                    case b"QUIT":
                        self.say("221 bye")
                        return
                    case b"RCPT" if sink.refuses:
                        self.say("451 not now")
                    case b"DATA":
                        self.say("354 go on")
                        sink.mails.append(self.mail())
                        self.say("250 kept")
                    case _:
                        self.say("250 fine")

        def mail(self) -> EmailMessage:
            lines = []
            while (line := self.rfile.readline()) not in (b".\r\n", b""):
                lines.append(line.removeprefix(b".") if line.startswith(b"..") else line)
            return message_from_bytes(b"".join(lines), policy=policy.default)

        def say(self, text: str) -> None:
            self.wfile.write(text.encode() + b"\r\n")

    with socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        sink.port = server.server_address[1]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield sink
        finally:
            server.shutdown()
            thread.join()
