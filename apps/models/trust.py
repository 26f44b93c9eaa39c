"""Whose certificates are believed: the public authorities, and those that this machine trusts beside them."""

from __future__ import annotations

import functools
import ssl

import httpx


@functools.cache
def tls_context() -> ssl.SSLContext:
    """For every connection of Lobby's own. A company's own authority counts once the machine knows it, or
    ``SSL_CERT_FILE`` or ``SSL_CERT_DIR`` names it (OpenSSL's own variables)."""
    context = httpx.create_ssl_context(trust_env=False)
    context.load_default_certs()
    return context
