"""The web process: ``python -m portal.web`` serves the portal and the gateway on ``HOST:PORT``.

Under the supervisor the listening socket comes from it (``LOBBY_LISTEN_FD``), so that no connection is refused while a
crashed web process is started again.
"""

from __future__ import annotations

import errno
import gc
import os
import signal
import socket
import sys
from typing import NoReturn

from django.core.exceptions import ImproperlyConfigured

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "portal.settings")

BACKLOG = 2048
CONFIGURATION_ERROR = 78  # sysexits.h: EX_CONFIG


def fail(message: str) -> NoReturn:
    """End with one clear line."""
    print(f"lobby: {message}", file=sys.stderr)  # noqa: T201
    sys.exit(CONFIGURATION_ERROR)


def listen(host: str, port: int) -> socket.socket:
    """A listening TCP socket; a port that is taken, or an address that is not ours, ends the process with one line."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except socket.gaierror as error:
        fail(f"HOST={host} is not an address of this machine ({error.strerror}).")
    listener = socket.socket(family, kind, protocol)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(address)
        listener.listen(BACKLOG)
    except OSError as error:
        if error.errno == errno.EADDRINUSE:
            fail(f"port {port} is taken. Stop what listens there, or choose another port: PORT={port + 1} make run")
        if error.errno == errno.EACCES:
            fail(f"port {port} needs more rights than this user has. Choose one above 1023: PORT=8000 make run")
        fail(f"HOST={host} PORT={port} cannot be listened on: {error.strerror}.")
    return listener


def main() -> None:
    from django.conf import settings

    try:
        workers = settings.WEB_WORKERS
    except ImproperlyConfigured as error:
        fail(str(error))

    import uvicorn

    inherited = os.environ.pop("LOBBY_LISTEN_FD", "")
    listener = socket.socket(fileno=int(inherited)) if inherited else listen(settings.HOST, settings.PORT)
    config = uvicorn.Config(
        "portal.asgi:application",
        workers=workers,
        loop="uvloop",
        http="httptools",
        ws="websockets-sansio",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        # Load balancers keep idle connections for a minute; the server must not be the first to close.
        timeout_keep_alive=75,
        timeout_graceful_shutdown=settings.WEB_GRACE_SECONDS,
        # Only named proxies may say on whose behalf they call: portal/proxies.py sees to that.
        proxy_headers=False,
    )
    # When it has drained, uvicorn hands the signal on to who handled it before: the process ended as it was asked to.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if workers == 1:
        # Modules make no garbage while they load; PortalConfig turns it on once they are there.
        gc.disable()
        uvicorn.Server(config).run(sockets=[listener])
    else:
        from uvicorn.supervisors import Multiprocess

        Multiprocess(config, sockets=[listener]).run()


if __name__ == "__main__":
    main()
